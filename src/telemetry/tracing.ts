/**
 * The only module that uses OpenTelemetry. Without a configured endpoint it is not loaded, and a client's trace context
 * is only passed on. The SDK is an optional peer dependency.
 */
import type { ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import type { Config } from '../config.js';
import type { Log } from '../model/log.js';
import { parseTraceparent, passingTracer, type Span, type Tracer } from '../model/trace.js';

export interface Tracing {
  tracer: Tracer;
  /** Spans that could not be sent since startup. */
  lost(): number;
  /** Sends what is still waiting. */
  close(): Promise<void>;
}

/**
 * Time that all attempts of an export take together: by default they would delay the shutdown by ten seconds.
 */
const timeoutMs = 2000;

/** Maximum delay of the shutdown by the last spans. */
const lastTimeoutMs = 5000;

/** Maximum number of spans that wait to be sent; further ones are lost. */
const waitingLimit = 2048;

/** ExportResultCode.SUCCESS of @opentelemetry/core, which is not loaded for it. */
const sent = 0;

/** Counts the spans that cannot be sent, and logs the beginning and end of an outage. */
class Losses {
  readonly #log: Log;
  #lost = 0;
  #before: number | undefined;
  #waiting = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  get lost(): number {
    return this.#lost;
  }

  /** The exporter, which receives ended spans and reports the outcome. */
  exporting(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans, done) => {
        this.#waiting -= spans.length;
        exporter.export(spans, (result) => {
          if ((result.code as number) === sent) this.#sent();
          else this.#failed(spans.length, result.error);
          done(result);
        });
      },
      shutdown: () => exporter.shutdown(),
    };
  }

  /** The processor, which is given no more than it can hold: what it drops itself is not reported. */
  processing(processor: SpanProcessor): SpanProcessor {
    return {
      onStart: (span, context) => processor.onStart(span, context),
      onEnd: (span: ReadableSpan) => {
        if ((span.spanContext().traceFlags & 1) === 0) return;
        if (this.#waiting >= waitingLimit) {
          this.#failed(1, undefined);
          return;
        }
        this.#waiting += 1;
        processor.onEnd(span);
      },
      forceFlush: () => processor.forceFlush(),
      shutdown: () => processor.shutdown(),
    };
  }

  #failed(spans: number, error: Error | undefined): void {
    if (this.#before === undefined) {
      this.#before = this.#lost;
      this.#log.warn({ err: error }, 'spans cannot be sent and are lost');
    }
    this.#lost += spans;
  }

  #sent(): void {
    if (this.#before === undefined) return;
    this.#log.warn({ lost: this.#lost - this.#before }, 'spans can be sent again; some were lost');
    this.#before = undefined;
  }
}

export async function createTracing(endpoint: Config['tracing']['endpoint'], log: Log): Promise<Tracing> {
  if (endpoint === '') return { tracer: passingTracer, lost: () => 0, close: () => Promise.resolve() };
  const [api, sdk, exporter] = await loadPackages();
  const losses = new Losses(log);
  const output = losses.exporting(
    new exporter.OTLPTraceExporter({ url: endpoint, timeoutMillis: timeoutMs }),
  );
  const processor = losses.processing(
    new sdk.BatchSpanProcessor(output, { maxQueueSize: waitingLimit, exportTimeoutMillis: 2 * timeoutMs }),
  );
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
    lost: () => losses.lost,
    // A collector that is unreachable or never responds must not keep the server from stopping.
    close: () =>
      within(lastTimeoutMs, provider.shutdown()).catch((error: unknown) => {
        log.warn({ err: error, lost: losses.lost }, 'the last spans could not be sent');
      }),
  };
}

async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${milliseconds} ms`)), milliseconds);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
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
