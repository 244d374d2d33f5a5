/**
 * A server process to be killed: opens a local region, ensures the servers that it is given, one JSON line on stdout
 * per event, and runs until it is terminated.
 *
 * Arguments: the options without the log, and the requests (user data as text), both JSON.
 */
import { silentLog } from '../../src/model/log.js';
import { LocalRegion, type LocalRegionOptions } from '../../src/region/local/index.js';
import type { ServerRequest } from '../../src/region/provider.js';

export type ChildRequest = Omit<ServerRequest, 'userData'> & { userData?: string };

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const [options, requests] = process.argv.slice(2).map((text) => JSON.parse(text) as unknown) as [
  Omit<LocalRegionOptions, 'log'>,
  ChildRequest[],
];
const region = new LocalRegion({ ...options, log: silentLog });
await region.open();
say({ ready: true });
region.watch(({ id, observation }) => {
  say({ id, powerState: observation?.powerState });
});
// Keeps the process alive: an open region does not.
setInterval(() => undefined, 60_000);
await Promise.all(
  requests.map(({ userData, ...request }) =>
    region.ensureServer(
      userData === undefined ? request : { ...request, userData: Buffer.from(userData) },
      new AbortController().signal,
    ),
  ),
);
say({ done: true });
