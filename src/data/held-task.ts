/**
 * A task that this process has claimed. It knows the revision of its last write, so the task need not be read before
 * each write; a worker whose lease was taken over finds another revision and another token, and writes nothing.
 */
import {
  historyLimit,
  type SubjectRecord,
  type TaskAttempt,
  type TaskCause,
  type TaskRecord,
  type TaskStep,
} from '../model/task.js';
import { interrupted, postponed, retried, type TaskEnd } from '../model/task-state.js';
import { type Document, replace, type Store, StoreConflict, type Write } from './store/port.js';
import { retrying } from './store/retry.js';
import { subjectKind, subjectOf } from './subject.js';
import { endingWrites, type SubjectChange } from './task-end.js';
import { tasks } from './task.js';

/** The lease is lost: another process has the task, or it has ended. The work must stop without writing. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

type Outcome = TaskAttempt['outcome'];

/** The writes of one batch, and the resulting task if it is still held. */
interface Plan {
  writes: Write[];
  next?: TaskRecord;
}

export class HeldTask {
  readonly id: string;
  /** As it was claimed. */
  readonly value: TaskRecord;
  /** Milliseconds without a renewal after which another process may take the task. */
  readonly lease: number;
  readonly #store: Store;
  /** As the last write left it; undefined if it must be read from the store. */
  #task: Document<TaskRecord> | undefined;
  /** As read for the next write. */
  #subject: Document<SubjectRecord> | undefined;
  /** Ended steps, stored by the next write. */
  #ended: readonly TaskStep[] = [];
  /** When this process last knew that it held the lease, by its monotonic clock. */
  #renewed = performance.now();
  #abortAsked: boolean;
  /** The outcome of this attempt in a write that may have been stored although it failed. */
  #unacknowledged: Outcome;

  constructor(store: Store, claim: Document<TaskRecord>, lease: number) {
    this.id = claim.id;
    this.value = claim.value;
    this.lease = lease;
    this.#store = store;
    this.#task = claim;
    this.#abortAsked = claim.value.abort === true;
  }

  /** Whether the task was asked to end, as far as this process has read. */
  get abortAsked(): boolean {
    return this.#abortAsked;
  }

  /** Whether no other process can have taken the task yet, with a safety margin. */
  get isSure(): boolean {
    return performance.now() - this.#renewed < this.lease * 0.7;
  }

  /** Extends the lease. */
  async renew(): Promise<void> {
    // Before the write: an observer of the lease counts from its arrival.
    const began = performance.now();
    // Readers of the change log do not see the lease, only the end of a step that is written with it.
    await this.#change((value) => ({ ...value, leaseUntil: Date.now() + this.lease }), { quiet: true });
    this.#renewed = began;
  }

  /**
   * Adds a step, or ends the one of the same name and attempt; in the same write changes the subject, if a change is
   * given.
   */
  step(step: TaskStep, change?: (subject: SubjectRecord) => SubjectRecord): Promise<void> {
    return this.#write(async (task) => {
      const next = withStep(task.value, step);
      const writes: Write[] = [replace(tasks, task, next)];
      const { subject: of, type } = task.value;
      if (of !== undefined && change !== undefined) {
        const subject = this.#subject ?? (await this.subject());
        if (subject !== undefined)
          writes.push(subjectKind(of.type).change(subject, change(subject.value), type));
      }
      return { writes, next };
    });
  }

  /** The step has ended; this is stored by the next write, before anything that follows the step. */
  stepEnded(step: TaskStep): void {
    this.#ended = [...this.#ended, step];
  }

  /** The current state of the subject. */
  async subject(): Promise<Document<SubjectRecord> | undefined> {
    this.#subject = await subjectOf(this.#store, this.value);
    return this.#subject;
  }

  /** The tasks that it follows and that have not been removed. */
  async children(): Promise<TaskRecord[]> {
    const ids = this.value.children ?? [];
    const found = await Promise.all(ids.map((id) => this.#store.get(tasks, id)));
    return found.flatMap((task) => task?.value ?? []);
  }

  /** Who asked the task to end; nobody if a later request made it obsolete. Undefined: it was not asked to. */
  async abort(): Promise<{ by?: string } | undefined> {
    const task = await this.#store.get(tasks, this.id);
    if (task?.value.abort !== true) return undefined;
    return task.value.abortedBy === undefined ? {} : { by: task.value.abortedBy };
  }

  /** Ends the task, changes its subject and releases the subject's next task, in one step. */
  finish(end: TaskEnd, change: SubjectChange): Promise<void> {
    return this.#write(
      async (task) => ({ writes: await endingWrites(this.#store, task, end, change, this.#subject) }),
      end.status,
    );
  }

  /** Ends this attempt and makes the task wait for its next one. */
  retryLater(cause: TaskCause, runAfter: number): Promise<void> {
    return this.#change((value) => retried(value, cause, runAfter), { outcome: 'failed' });
  }

  /** Ends this attempt as if it had not been: there is nothing to do before this time (ms since 1970). */
  putOff(runAfter: number): Promise<void> {
    return this.#change((value) => postponed(value, runAfter), { quiet: true });
  }

  /** Gives the task back for another process to continue: at once, or from a given time (ms since 1970). */
  giveBack(runAfter = 0): Promise<void> {
    const outcome = 'handed_over';
    return this.#change((value) => interrupted(value, outcome, runAfter), { outcome });
  }

  #change(
    change: (value: TaskRecord) => TaskRecord,
    { quiet = false, outcome }: { quiet?: boolean; outcome?: Outcome } = {},
  ): Promise<void> {
    return this.#write((task, ended) => {
      const next = change(task.value);
      return Promise.resolve({ writes: [{ ...replace(tasks, task, next), quiet: quiet && !ended }], next });
    }, outcome);
  }

  /**
   * Writes to the task based on what is known of it. If its revision has changed, the write is refused and the task is
   * read again, which shows whether the claim is lost. `ended`: the end of a step is written with it. `outcome`: with
   * which the write ends the attempt.
   */
  #write(
    plan: (task: Document<TaskRecord>, ended: boolean) => Promise<Plan>,
    outcome?: Outcome,
  ): Promise<void> {
    return retrying(async () => {
      const task = this.#task ?? (await this.#read());
      if (task === undefined) return;
      const ended = this.#ended;
      const value = ended.reduce(withStep, task.value);
      const { writes, next } = await plan({ ...task, value }, ended.length > 0);
      // For example, a region will report what was done to a machine, which changes the subject.
      this.#subject = undefined;
      try {
        await this.#store.write(writes);
      } catch (error) {
        // The task must be read from the store, unless the race was for another document.
        if (!(error instanceof StoreConflict) || error.key === this.id) this.#task = undefined;
        if (!(error instanceof StoreConflict)) this.#unacknowledged = outcome;
        throw error;
      }
      this.#task =
        next?.queue === 'running' ? { ...task, revision: task.revision + 1, value: next } : undefined;
      this.#ended = this.#ended.filter((step) => !ended.includes(step));
    });
  }

  /** Undefined if a write that seemed to have failed has ended this attempt. */
  async #read(): Promise<Document<TaskRecord> | undefined> {
    const task = await this.#store.get(tasks, this.id);
    if (task?.value.queue === 'running' && task.value.token === this.value.token) {
      this.#abortAsked = task.value.abort === true;
      return task;
    }
    // Only the holder of the token ends its attempt in any other way than `interrupted`.
    const { number } = this.value.attempts.at(-1) ?? {};
    const own = task?.value.attempts.find((attempt) => attempt.number === number);
    if (own?.outcome !== undefined && own.outcome === this.#unacknowledged) return undefined;
    throw new LeaseLost(`Task ${this.id} is no longer held under token ${this.value.token}`);
  }
}

function withStep(task: TaskRecord, step: TaskStep): TaskRecord {
  const others = task.steps.filter((known) => known.name !== step.name || known.attempt !== step.attempt);
  return { ...task, steps: [...others, step].slice(-historyLimit) };
}
