/** The only module that uses prom-client: what Prometheus reads at /metrics. */
import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';
import type { RequestSummary } from '../route/pipeline/access-log.js';

export interface Metrics {
  observe: (summary: RequestSummary) => void;
  /** The text exposition format, version 0.0.4. */
  render: () => Promise<string>;
}

/** Counters of other modules, since startup. */
export interface Counts {
  lostLines(): number;
  lostSpans(): number;
  strayFailures(): number;
}

export function createMetrics(counts: Counts): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'copse_' });
  const duration = new Histogram({
    name: 'copse_http_request_duration_seconds',
    help: 'Time from the first byte of a request to the end of its response; its count is the number of responses.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  });
  count(registry, 'copse_log_lines_lost_total', 'Log lines that could not be written.', () =>
    counts.lostLines(),
  );
  count(registry, 'copse_trace_spans_lost_total', 'Spans that could not be sent.', () => counts.lostSpans());
  count(registry, 'copse_stray_failures_total', 'Errors that no part of the program handled.', () =>
    counts.strayFailures(),
  );
  return {
    observe({ method = 'any', route = 'unmatched', status, seconds }) {
      // A method that no route has is invented by the client; as a label it would create a series of its own.
      const known = route === 'unmatched' ? 'any' : method;
      duration.observe({ method: known, route, status }, seconds);
    },
    render: () => registry.metrics(),
  };
}

function count(registry: Registry, name: string, help: string, ask: () => number): void {
  const counter = new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      counter.reset();
      counter.inc(ask());
    },
  });
}
