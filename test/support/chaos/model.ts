/** What must be true at the end: the accepted requests, as the clients understood the responses. */
import type { Task } from '../../../src/model/task.js';

export type Verb = 'create' | 'start' | 'stop' | 'reboot' | 'replace' | 'delete';

export interface Work {
  /** Undefined: the response that named the task was lost. */
  task: string | undefined;
  verb: Verb;
  /** An abort was accepted, or may have been; the task may have ended before. */
  aborted?: boolean;
}

export interface Wish {
  id: string;
  name: string;
  /** Unknown after an abort: the machine is in whatever state the aborted work left it. */
  power: 'running' | 'stopped' | 'unknown';
  flavorId: string;
  description: string;
  expiresAt: string | undefined;
  deleted: boolean;
  /** Accepted work in order; merged requests share a task. A restart is separate work of the same task. */
  work: Work[];
}

export class Model {
  readonly wishes = new Map<string, Wish>();
  /** Number of responses of each kind, for the summary at the end. */
  readonly counts = new Map<string, number>();

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  get accepted(): string[] {
    return [...this.wishes.values()].flatMap(({ work }) => work.flatMap(({ task }) => task ?? []));
  }

  get living(): Wish[] {
    return [...this.wishes.values()].filter((wish) => !wish.deleted);
  }

  accept(wish: Wish, verb: Verb, task: string | undefined): void {
    if (task === undefined || wish.work.at(-1)?.task !== task) wish.work.push({ task, verb });
    if (verb === 'delete') wish.deleted = true;
    else this.#wishPower(wish, verb);
  }

  /** A machine that is created again stays off if that was the last request. */
  #wishPower(wish: Wish, verb: Verb): void {
    if (verb !== 'replace') wish.power = verb === 'stop' ? 'stopped' : 'running';
  }

  /** The last work was aborted and did not succeed: it may be done, half done or not done. */
  calledOff(wish: Wish): void {
    wish.power = 'unknown';
  }

  /** The last work, which was aborted, runs again. */
  restarted(wish: Wish): void {
    const last = wish.work.at(-1);
    if (last === undefined) return;
    const { task, verb } = last;
    wish.work.push({ task, verb });
    this.#wishPower(wish, verb);
  }
}

/** How a task may have ended, given all requests for it. */
export function legalEnds(wish: Wish, task: string): string[] {
  const asked = wish.work.filter((work) => work.task === task);
  const last = asked.at(-1);
  const superseded = wish.deleted && last?.verb !== 'delete';
  // A stop supersedes a soft reboot in progress.
  const next = last === undefined ? undefined : wish.work[wish.work.lastIndexOf(last) + 1];
  const outdone = last?.verb === 'reboot' && next?.verb === 'stop';
  return superseded || outdone || last?.aborted === true ? ['succeeded', 'cancelled'] : ['succeeded'];
}

const ended: readonly string[] = ['succeeded', 'failed', 'cancelled'];

/**
 * What is wrong with a task's next state, given the previous one: an ended task does not change unless it is restarted,
 * and only the attempt that holds it writes steps. A worker that lost its lease and continues to write would violate
 * one of these.
 */
export function breachOf(before: Task | undefined, after: Task): string | undefined {
  if (before === undefined) return undefined;
  const again = (after.restarts?.length ?? 0) > (before.restarts?.length ?? 0);
  if (ended.includes(before.status) && !again)
    return `it had ended as ${before.status} and was written again`;
  const known = new Set(before.steps.map((step) => JSON.stringify(step)));
  const holder = after.attempts.at(-1)?.number ?? 0;
  const late = after.steps.find((step) => step.attempt !== holder && !known.has(JSON.stringify(step)));
  return late === undefined
    ? undefined
    : `attempt ${late.attempt} wrote the step ${late.name} while attempt ${holder} held the task`;
}

/** The effect of each kind of work on the machine, in the region's verbs. */
const effects: Readonly<Record<Verb, readonly string[]>> = {
  create: ['ensureServer'],
  start: ['startServer'],
  stop: ['stopServer'],
  reboot: ['rebootServer'],
  // Either grown in place or created again.
  replace: ['resizeServer', 'deleteServer', 'ensureServer'],
  delete: ['deleteServer'],
};

/**
 * Whether the region did to a machine what was requested, in that order: every change belongs to the work whose turn it
 * was, none came late from a process that had lost its lease, and none came twice, although responses were lost and
 * work was repeated. Work may have changed nothing: it was merged, aborted, or there was nothing to do.
 */
export function isInOrder(done: readonly string[], work: readonly { verb: Verb }[]): boolean {
  const wished = work.flatMap(({ verb }) => effects[verb]);
  let at = 0;
  for (const verb of done) {
    while (at < wished.length && wished[at] !== verb) at += 1;
    if (at === wished.length) return false;
    at += 1;
  }
  return true;
}
