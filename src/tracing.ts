/**
 * The one place that knows OpenTelemetry. Without a configured endpoint nothing of it is loaded and a client's trace
 * context is only handed on. The SDK is an optional peer: whoever wants spans installs it.
 */
import type { Config } from './config.js';
import type { Log } from './model/log.js';
import type { Span, Tracer } from './model/trace.js';
import { parseTraceparent, passingTracer } from './model/trace.js';

export interface Tracing {
  tracer: Tracer;
  /** Sends what is still waiting. */
  close(): Promise<void>;
}

export async function createTracing(endpoint: Config['tracing']['endpoint'], log: Log): Promise<Tracing> {
  if (endpoint === '') return { tracer: passingTracer, close: () => Promise.resolve() };
  const [api, sdk, exporter] = await loadPackages();
  // Its tries together: by default they would hold up the end of the process for ten seconds.
  const output = new exporter.OTLPTraceExporter({ url: endpoint, timeoutMillis: 2000 });
  const processor = new sdk.BatchSpanProcessor(output);
  const provider = new sdk.NodeTracerProvider({ spanProcessors: [processor] });
  const tracer = provider.getTracer('copse');
  return {
    tracer: {
      start(name, kind, parent): Span {
        const from = parseTraceparent(parent);
        const context =
          from === undefined
            ? api.ROOT_CONTEXT
            : api.trace.setSpanContext(api.ROOT_CONTEXT, {
                traceId: from.traceId,
                spanId: from.spanId,
                traceFlags: from.flags,
                isRemote: true,
              });
        const span = tracer.startSpan(
          name,
          { kind: kind === 'server' ? api.SpanKind.SERVER : api.SpanKind.INTERNAL },
          context,
        );
        const { traceId, spanId, traceFlags } = span.spanContext();
        return {
          traceId,
          traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
          end({ failed, name: known, attributes = {} }) {
            if (known !== undefined) span.updateName(known);
            span.setAttributes(attributes);
            if (failed) span.setStatus({ code: api.SpanStatusCode.ERROR });
            span.end();
          },
        };
      },
    },
    // A collector that is away must not keep the server from stopping.
    close: () =>
      provider
        .shutdown()
        .catch((error: unknown) => log.warn({ err: error }, 'the last spans could not be sent')),
  };
}

async function loadPackages() {
  try {
    return await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace-node'),
      import('@opentelemetry/exporter-trace-otlp-http'),
    ]);
  } catch (cause) {
    throw new Error(
      'tracing.endpoint is set, but the OpenTelemetry packages are missing; run: npm install @opentelemetry/sdk-trace-node@2.12.0 @opentelemetry/exporter-trace-otlp-http@0.223.0',
      { cause },
    );
  }
}
