import type { Config } from '../config.js';
import type { Connector } from '../data/connector.js';
import type { TaskQueue } from '../data/queue.js';
import type { OpenRegion } from '../data/region.js';
import type { Log } from '../model/log.js';
import type { Tracer } from '../model/trace.js';
import { TaskRunner } from '../task/runner.js';
import { siteRegion } from '../task/site-region.js';
import type { WebhookServices } from '../task/webhook-services.js';

const seconds = 1000;

interface RunnerParts {
  tracing: { tracer: Tracer };
  services: WebhookServices;
  connector: Connector;
}

/** The runner for the tasks of the regions that this process drives, and of the site. */
export function makeRunner(
  { tasks }: Config,
  queue: TaskQueue,
  open: readonly OpenRegion[],
  { tracing: { tracer }, services, connector }: RunnerParts,
  log: Log,
): TaskRunner {
  const times = {
    poll: tasks.poll * seconds,
    backoff: tasks.backoff * seconds,
    backoffMax: tasks.backoffMax * seconds,
    grace: tasks.grace * seconds,
  };
  const { concurrency, maxAttempts, maxInterruptions } = tasks;
  const parts = { tracer, services, images: { data: connector.images } };
  const options = { ...times, concurrency, maxAttempts, maxInterruptions, ...parts };
  return new TaskRunner(queue, [...open, siteRegion], options, log);
}
