/**
 * The calls of a site's processes to their region, as recorded by test/support/chaos/probe.ts, and what must hold for
 * them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const mutations = [
  'ensureServer',
  'deleteServer',
  'startServer',
  'stopServer',
  'rebootServer',
] as const;

/** Milliseconds of the machine's monotonic clock. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

export type ProbeLine =
  | { kind: 'start'; skew: number }
  | { kind: 'begin'; call: number; verb: string; server: string; at: number }
  | { kind: 'end'; call: number; at: number }
  | { kind: 'fate'; delay: number; fails: 'never' | 'before' | 'after' }
  | { kind: 'still'; from: number; to: number };

export interface Call {
  pid: number;
  verb: string;
  server: string;
  began: number;
  /** Infinity: it did not end before its process did. */
  ended: number;
}

export interface Span {
  pid: number;
  from: number;
  to: number;
}

export class Probes {
  readonly calls: Call[] = [];
  readonly stills: Span[] = [];
  readonly fates: Extract<ProbeLine, { kind: 'fate' }>[] = [];
  /** The clock offset of each started process, in ms. */
  readonly skews: number[] = [];

  /** `deaths`: when each killed process had certainly ended. `frozen`: which process was stopped when. */
  constructor(folder: string, deaths: ReadonlyMap<number, number>, frozen: readonly Span[]) {
    this.stills.push(...frozen);
    for (const name of readdirSync(folder)) {
      const pid = Number(/^probe-(\d+)\.jsonl$/.exec(name)?.[1]);
      if (!Number.isNaN(pid)) this.#read(pid, readFileSync(join(folder, name), 'utf8'), deaths.get(pid));
    }
    this.calls.sort((a, b) => a.began - b.began);
  }

  #read(pid: number, text: string, death = Infinity): void {
    const open = new Map<number, Call>();
    // Anything after the last line break was cut off by a kill.
    for (const part of text.split('\n').slice(0, -1)) {
      const line = JSON.parse(part) as ProbeLine;
      if (line.kind === 'start') this.skews.push(line.skew);
      else if (line.kind === 'fate') this.fates.push(line);
      else if (line.kind === 'still') this.stills.push({ pid, from: line.from, to: line.to });
      else if (line.kind === 'begin') {
        const call = { pid, verb: line.verb, server: line.server, began: line.at, ended: death };
        open.set(line.call, call);
        this.calls.push(call);
      } else {
        const call = open.get(line.call);
        if (call !== undefined) call.ended = line.at;
      }
    }
  }
}

/**
 * Forbidden overlaps of two mutations of one server. A lease guarantees that a running process has stopped its work
 * before another gets the task. A process that was frozen for part of a lease (a `Span`) cannot guarantee that; but it
 * must have stopped within `mercy` ms after it resumed.
 */
export function overlaps(
  calls: readonly Call[],
  stills: readonly Span[],
  { least, mercy }: { least: number; mercy: number },
): string[] {
  const found: string[] = [];
  const open = new Map<string, Call[]>();
  for (const call of [...calls].sort((a, b) => a.began - b.began)) {
    const before = (open.get(call.server) ?? []).filter(({ ended }) => ended > call.began);
    for (const other of before) {
      const excuses = stills.filter(
        ({ pid, from, to }) =>
          pid === other.pid && from < call.began && to > other.began && to - from >= least,
      );
      const until = Math.max(-Infinity, ...excuses.map(({ to }) => to + mercy));
      if (other.ended <= until) continue;
      found.push(
        `${call.server}: ${call.verb} of process ${call.pid} began at ${call.began.toFixed()} while ${other.verb} of ` +
          `process ${other.pid} lasted from ${other.began.toFixed()} to ${other.ended.toFixed()}` +
          (excuses.length === 0 ? '' : `, which stood still until ${(until - mercy).toFixed()}`),
      );
    }
    open.set(call.server, [...before, call]);
  }
  return found;
}
