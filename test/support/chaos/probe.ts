/**
 * Loaded with --import into a server process: records each mutation that the process requests from the simulated
 * region, its beginning and end, its outcome, and when the process was frozen. Times are by the machine's monotonic
 * clock, which all processes share. It changes nothing; a line is written before the process can be killed.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Fate, Fates } from '../../../src/region/simulated/fate.js';
import { SimulatedRegion } from '../../../src/region/simulated/index.js';
import { mutations, now, type ProbeLine } from './calls.js';

const file = join(process.env['COPSE_TEST_PROBE'] ?? '.', `probe-${process.pid}.jsonl`);

function note(line: ProbeLine): void {
  appendFileSync(file, `${JSON.stringify(line)}\n`);
}

type Act = (this: SimulatedRegion, what: string | { id: string }, ...rest: unknown[]) => Promise<unknown>;

function watchMutations(region: { prototype: Record<string, unknown> }): void {
  let calls = 0;
  for (const verb of mutations) {
    const act = region.prototype[verb] as Act;
    region.prototype[verb] = async function (this: SimulatedRegion, ...args: Parameters<Act>) {
      const server = typeof args[0] === 'string' ? args[0] : args[0].id;
      const call = (calls += 1);
      note({ kind: 'begin', call, verb, server, at: now() });
      try {
        return await act.apply(this, args);
      } finally {
        note({ kind: 'end', call, at: now() });
      }
    };
  }
}

function watchFates(fates: { prototype: Fates }): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the fates it belongs to, below
  const decide = fates.prototype.ofMutation;
  fates.prototype.ofMutation = function (this: Fates, ...args: Parameters<Fates['ofMutation']>): Fate {
    const fate = decide.apply(this, args);
    const { delay, error, ambiguous } = fate;
    note({ kind: 'fate', delay, fails: error === undefined ? 'never' : ambiguous ? 'after' : 'before' });
    return fate;
  };
}

/** A stopped process and one that gets no CPU time look the same from within. */
function watchStandstill(): void {
  const pace = 50;
  let last = now();
  setInterval(() => {
    const time = now();
    if (time - last > 4 * pace) note({ kind: 'still', from: last, to: time });
    last = time;
  }, pace).unref();
}

note({ kind: 'start', skew: Date.now() - (performance.timeOrigin + performance.now()) });
watchMutations(SimulatedRegion as unknown as { prototype: Record<string, unknown> });
watchFates(Fates);
watchStandstill();
