/** What must be true at the end: the wishes that were accepted, as the clients understood the answers. */
import type { Task } from '../../../src/model/task.js';

export type Verb = 'create' | 'start' | 'stop' | 'reboot' | 'delete';

export interface Wish {
  id: string;
  name: string;
  power: 'running' | 'stopped';
  description: string;
  deleted: boolean;
  /** Accepted work in order; merged requests share a task. Undefined: the answer that named the task was lost. */
  work: { task: string | undefined; verb: Verb }[];
}

export class Model {
  readonly wishes = new Map<string, Wish>();
  /** Answers of each kind, to tell at the end what the run was made of. */
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
    else wish.power = verb === 'stop' ? 'stopped' : 'running';
  }
}

const ended: readonly string[] = ['succeeded', 'failed', 'cancelled'];

/**
 * What is wrong with a task's next state, given the one before: an ended task stays as it is, and only the attempt that
 * holds it now writes steps. A worker that lost its lease and goes on writing would break one of these.
 */
export function breachOf(before: Task | undefined, after: Task): string | undefined {
  if (before === undefined) return undefined;
  if (ended.includes(before.status)) return `it had ended as ${before.status} and was written again`;
  const known = new Set(before.steps.map((step) => JSON.stringify(step)));
  const holder = after.attempts.at(-1)?.number ?? 0;
  const late = after.steps.find((step) => step.attempt !== holder && !known.has(JSON.stringify(step)));
  return late === undefined
    ? undefined
    : `attempt ${late.attempt} wrote the step ${late.name} while attempt ${holder} held the task`;
}

/** The region's verb of each kind of work. */
const regionVerbs: Readonly<Record<Verb, string>> = {
  create: 'ensureServer',
  start: 'startServer',
  stop: 'stopServer',
  reboot: 'rebootServer',
  delete: 'deleteServer',
};

/**
 * Whether what the region really did to a machine is what was wished, in that order: every change belongs to the work
 * whose turn it was, and none came late, from a process that had lost its lease. Repeats of one work are legal: an
 * answer may have been lost.
 */
export function isInOrder(done: readonly string[], work: readonly { verb: Verb }[]): boolean {
  let at = 0;
  for (const verb of done) {
    while (at < work.length && regionVerbs[work[at]?.verb ?? 'create'] !== verb) at += 1;
    if (at === work.length) return false;
  }
  return true;
}
