/** Tracing that every layer may use: W3C trace context in, spans out, without OpenTelemetry's packages. */

export interface Span {
  /** The context for the next party (W3C traceparent); undefined if there is no trace. */
  readonly traceparent: string | undefined;
  readonly traceId: string | undefined;
  /** `name` replaces the initial name, if it only became known later. */
  end(outcome: { failed: boolean; name?: string; attributes?: Record<string, string | number> }): void;
}

export interface Tracer {
  /** `parent` is a received traceparent, or undefined. */
  start(name: string, kind: 'server' | 'internal', parent: string | undefined): Span;
}

const pattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The parts of a traceparent (W3C Trace Context, section 3.2), or undefined when it is not valid. */
export function parseTraceparent(
  text: string | undefined,
): { traceId: string; spanId: string; flags: number } | undefined {
  const [, traceId = '', spanId = '', flags = ''] = pattern.exec(text ?? '') ?? [];
  if (traceId === '' || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

/** Creates no spans; passes a valid context on, so that the next party can still join the trace. */
export const passingTracer: Tracer = {
  start(_name, _kind, parent) {
    const context = parseTraceparent(parent);
    return {
      traceparent: context === undefined ? undefined : parent,
      traceId: context?.traceId,
      end: () => undefined,
    };
  },
};
