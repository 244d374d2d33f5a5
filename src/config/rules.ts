/** Constraints across several options. */
import type { Config } from './schema.js';

const everywhere = ['0.0.0.0', '::'];

function twice(names: readonly string[]): string | undefined {
  return names.find((name, index) => names.indexOf(name) !== index);
}

/** One message per violation, with the names of the options. */
export function contradictionsIn({ server, worker, tasks, regions, local }: Config): string[] {
  const found: string[] = [];
  const region = twice(regions.map((one) => one.split('=')[0] ?? ''));
  if (region !== undefined) found.push(`regions must not contain duplicates (is "${region}")`);
  const flavor = twice(local.flavors.map(({ name }) => name));
  if (flavor !== undefined) found.push(`local.flavors must not contain duplicates (is "${flavor}")`);
  if (tasks.backoff > tasks.backoffMax)
    found.push(
      `tasks.backoff must not exceed tasks.backoffMax (is ${tasks.backoff}; the maximum is ${tasks.backoffMax})`,
    );
  const together =
    server.host === worker.host || everywhere.includes(server.host) || everywhere.includes(worker.host);
  if (worker.listen && together && server.port !== 0 && server.port === worker.port)
    found.push(`worker.port must differ from server.port while worker.listen is on (is ${worker.port})`);
  return found;
}
