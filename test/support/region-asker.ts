/**
 * A server process that opens a local region, makes some calls one after the other, and exits. Prints one JSON line for
 * each, with its outcome. For calls as another user.
 *
 * Arguments: the options without the log, and the calls, both JSON.
 */
import { silentLog } from '../../src/model/log.js';
import { LocalRegion, type LocalRegionOptions } from '../../src/region/local/index.js';
import { RegionError } from '../../src/region/provider.js';

export interface AskedCall {
  verb: 'describe' | 'start' | 'stop' | 'delete' | 'console';
  id: string;
}

export interface Answer {
  verb: string;
  result?: unknown;
  kind?: string;
  message?: string;
}

const [options, calls] = process.argv.slice(2).map((text) => JSON.parse(text) as unknown) as [
  Omit<LocalRegionOptions, 'log'>,
  AskedCall[],
];
const region = new LocalRegion({ ...options, log: silentLog });
const signal = new AbortController().signal;

function ask({ verb, id }: AskedCall): Promise<unknown> {
  switch (verb) {
    case 'describe':
      return region.describeServers([id], signal);
    case 'start':
      return region.startServer(id, signal);
    case 'stop':
      return region.stopServer(id, signal);
    case 'delete':
      return region.deleteServer(id, signal);
    case 'console':
      return region.consoleOutput(id, {}, signal);
  }
}

async function tell(verb: string, work: Promise<unknown>): Promise<void> {
  const answer: Answer = await work.then(
    (result) => ({ verb, result }),
    (error: unknown) => ({
      verb,
      kind: error instanceof RegionError ? error.kind : 'unforeseen',
      message: String(error),
    }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

await tell('open', region.open());
for (const call of calls) await tell(call.verb, ask(call));
await region.close();
