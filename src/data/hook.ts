/**
 * What GitHub's events cause. A job first takes its place, in one write with the answer to the event; then its instance
 * is created, together with a link that can exist only once. Whatever is cut short in between, the sweep continues.
 */
import { ApiError } from '../model/error.js';
import {
  admits,
  type HookAnswer,
  type HookJobRecord,
  type HookRule,
  ruleFor,
  type WorkflowJobEvent,
} from '../model/hook.js';
import { siteId } from '../model/task.js';
import { audited } from './audit.js';
import type { Caller } from './caller.js';
import { hookCaller, type HookParts, instanceFor } from './hook-instance.js';
import { instances } from './instance.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  remove,
  replace,
  type Store,
  StoreConflict,
  type Write,
} from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';
import { unlessMoot } from './trash.js';

/** Events that have been handled, by the id of their delivery. */
export const hookEvents: CollectionSpec<{ answer: HookAnswer; time: number }> = {
  name: 'hook_events',
  columns: { time: 'integer' },
  columnsOf: (_id, { time }) => ({ time }),
  orders: { id: [], time: ['time'] },
};

/** Jobs, by their id at GitHub. */
export const hookJobs: CollectionSpec<HookJobRecord> = {
  name: 'hook_jobs',
  columns: { rule: 'text', state: 'text', name: 'text', time: 'integer' },
  columnsOf: (_id, { rule, state, name, time }) => ({ rule, state, name, time }),
  unique: { name: ['name'] },
  orders: { id: [], time: ['time'] },
  indexes: [
    ['rule', 'state', 'time'],
    ['state', 'time'],
  ],
};

/** The instance of a job, under the job's id: a job gets no second one. */
export const hookInstances: CollectionSpec<{ instanceId: string }> = {
  name: 'hook_instances',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** One document per rule, written whenever a job takes a place, so that two cannot take the last one. */
export const hookPlaces: CollectionSpec<{ taken: number }> = {
  name: 'hook_places',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

const hour = 3_600_000;
/** Ms after which a job that found no room, or could not get an instance, is given up; GitHub gives it up too. */
const jobLifetimeMs = 24 * hour;
/** Ms for which events and ended jobs are remembered; older events are not accepted. */
const memory = 7 * 24 * hour;
/** Ms that a create gets before the sweep tries it again. */
const creating = 60_000;
const sweepLimit = 100;

export interface GitHubDelivery {
  id: string;
  event: WorkflowJobEvent;
}

/** Why a job has no instance yet. */
export interface HookFailure {
  jobId: string;
  rule: string;
  repository: string;
  message: string;
}

type Job = Document<HookJobRecord>;

const ignored = (reason: string): HookAnswer => ({ result: 'ignored', reason });

export class HookData {
  readonly #store: Store;
  readonly #parts: HookParts;
  readonly #rules: readonly HookRule[];
  readonly #listeners: ((failure: HookFailure) => void)[] = [];

  constructor(store: Store, parts: HookParts, rules: readonly HookRule[]) {
    this.#store = store;
    this.#parts = parts;
    this.#rules = rules;
  }

  /** Calls the listener when the instance of a job cannot be created. */
  watchFailures(listener: (failure: HookFailure) => void): void {
    this.#listeners.push(listener);
  }

  /** Throws while hooks are switched off. */
  demand(): void {
    this.#parts.settings.demand('hooks', 'Receiving hooks');
  }

  /** Handles an event of a job once; a repeat gets the same answer. */
  async workflowJob(
    request: Pick<Caller, 'requestId' | 'signal'>,
    delivery: GitHubDelivery,
  ): Promise<HookAnswer> {
    const caller = hookCaller(request);
    const { action } = delivery.event;
    if (action === 'queued') return this.#queued(caller, delivery);
    if (action === 'completed') return this.#completed(caller, delivery);
    return ignored(`Nothing is to be done for "${action.slice(0, 64)}".`);
  }

  async #queued(caller: Caller, { id, event }: GitHubDelivery): Promise<HookAnswer> {
    const { workflow_job: job, repository } = event;
    const rule = ruleFor(this.#rules, job.labels, repository.full_name);
    if (rule === undefined) return ignored('No rule has the labels of the job, or admits its repository.');
    if (Date.parse(job.created_at ?? '') < Date.now() - memory / 2) return ignored('The job is too old.');
    const jobId = String(job.id);
    const answer = await retrying(async (): Promise<HookAnswer> => {
      const known = await this.#store.get(hookEvents, id, caller.signal);
      if (known !== undefined) return known.value.answer;
      if ((await this.#store.get(hookJobs, jobId, caller.signal)) !== undefined)
        return ignored('The job is known already.');
      const place = await this.#place(rule);
      const record: HookJobRecord = {
        rule: rule.name,
        state: place === undefined ? 'waiting' : 'live',
        name: `gh-${jobId}`,
        runId: job.run_id,
        labels: job.labels,
        repository: repository.full_name,
        time: Date.now(),
      };
      const told: HookAnswer =
        place === undefined
          ? {
              result: 'waiting',
              reason: `Rule "${rule.name}" has ${rule.limit} instances, which is the most.`,
            }
          : { result: 'accepted', instance: record.name };
      await this.#write([
        insert(hookJobs, jobId, record),
        insert(hookEvents, id, { answer: told, time: Date.now() }),
        ...(place === undefined ? [] : [place]),
        ...(await audited(
          this.#store,
          caller,
          'hook.queued',
          { type: 'hook_job', id: jobId },
          undefined,
          record,
        )),
      ]);
      return told;
    });
    if (answer.result !== 'accepted') return answer;
    const failure = await this.#make(caller, jobId);
    if (failure === undefined) return answer;
    const told: HookAnswer = {
      result: 'waiting',
      reason: `The instance cannot be created now, and will be tried again: ${failure}`,
    };
    await this.#answerAgain(id, told);
    return told;
  }

  /** What a repeat of the event is told. */
  async #answerAgain(eventId: string, answer: HookAnswer): Promise<void> {
    const known = await this.#store.get(hookEvents, eventId);
    if (known !== undefined)
      await unlessRaced(this.#store.write([replace(hookEvents, known, { ...known.value, answer })]));
  }

  /** The write that takes a place of the rule; undefined: there is none. */
  async #place({ name, limit }: HookRule): Promise<Write | undefined> {
    const found = await this.#store.get(hookPlaces, name);
    const filter = { rule: name, state: ['live', 'ending'] };
    if ((await this.#store.count(hookJobs, { filter })) >= limit) return undefined;
    const taken = (found?.value.taken ?? 0) + 1;
    return found === undefined ? insert(hookPlaces, name, { taken }) : replace(hookPlaces, found, { taken });
  }

  /** Two events for one job, or two first places of a rule, at the same time: the slower one reads again. */
  async #write(writes: readonly Write[]): Promise<void> {
    try {
      await this.#store.write(writes);
    } catch (error) {
      if (!(error instanceof StoreConflict) || error.kind !== 'unique') throw error;
      throw new StoreConflict('revision', error.collection, error.key);
    }
  }

  /** Creates the instance of a live job, unless it has one. What fails now, which it returns, the sweep tries again. */
  async #make(caller: Caller, jobId: string): Promise<string | undefined> {
    const job = await this.#store.get(hookJobs, jobId);
    if (job?.value.state !== 'live' || (await this.#store.get(hookInstances, jobId)) !== undefined)
      return undefined;
    try {
      const rule = this.#rules.find(({ name }) => name === job.value.rule);
      if (rule === undefined)
        throw new ApiError('not_found', `There is no rule "${job.value.rule}" any more.`);
      const body = await instanceFor(this.#store, this.#parts, caller, rule, job);
      const storeResponse = ({ id }: { id: string }) => [insert(hookInstances, jobId, { instanceId: id })];
      await this.#parts.instances.create({ ...caller, storeResponse }, body);
      return undefined;
    } catch (error) {
      // Another process, or a repeat of the event, was faster: the name is taken by this very instance.
      const isMade = (await this.#store.get(hookInstances, jobId)) !== undefined;
      if (error instanceof StoreConflict || isMade) return undefined;
      if (!(error instanceof ApiError)) throw error;
      const message = error.publicMessage;
      // Once for each cause: the sweep tries often.
      if (job.value.error === message) return message;
      const { rule, repository } = job.value;
      for (const listener of this.#listeners) listener({ jobId, rule, repository, message });
      await unlessRaced(this.#store.write([replace(hookJobs, job, { ...job.value, error: message })]));
      return message;
    }
  }

  /**
   * Deletes the instance that ran the job: any runner with its labels may have taken it, and its own may still run
   * another one.
   */
  async #completed(caller: Caller, { id, event }: GitHubDelivery): Promise<HookAnswer> {
    const { workflow_job: job, repository } = event;
    const jobId = String(job.id);
    const { answer, ending } = await retrying(async () => {
      const known = await this.#store.get(hookEvents, id, caller.signal);
      if (known !== undefined) return { answer: known.value.answer };
      const own = await this.#store.get(hookJobs, jobId, caller.signal);
      const runner = job.runner_name ?? '';
      const byRunner = runner === '' ? undefined : await this.#store.find(hookJobs, 'name', [runner]);
      const ran = this.#rules.find(({ name }) => name === byRunner?.value.rule);
      // Anybody may give their runner the name of another repository's.
      const isAdmitted = ran !== undefined && admits(ran, repository.full_name.toLowerCase());
      const target = (isAdmitted ? byRunner : undefined) ?? own;
      const writes: Write[] = [];
      if (target === undefined) {
        const rule = ruleFor(this.#rules, job.labels, repository.full_name);
        if (rule === undefined) return { answer: ignored('No instance was made for the job.') };
        // It came before its "queued", which must not make an instance any more.
        const labels = job.labels;
        const base = { rule: rule.name, name: `gh-${jobId}`, runId: job.run_id, labels };
        const record = {
          ...base,
          repository: repository.full_name,
          state: 'ended' as const,
          time: Date.now(),
        };
        writes.push(insert(hookJobs, jobId, record));
      }
      const isLive = target?.value.state === 'live';
      if (target !== undefined && (isLive || target.value.state === 'waiting')) {
        const next = {
          ...target.value,
          state: isLive ? ('ending' as const) : ('ended' as const),
          time: Date.now(),
        };
        const resource = { type: 'hook_job', id: target.id };
        writes.push(
          replace(hookJobs, target, next),
          ...(await audited(this.#store, caller, 'hook.completed', resource, target.value, next)),
        );
      }
      // Whatever ran it, a job that is over needs no instance.
      if (own?.value.state === 'waiting' && own.id !== target?.id)
        writes.push(replace(hookJobs, own, { ...own.value, state: 'ended', time: Date.now() }));
      const told: HookAnswer = isLive
        ? { result: 'accepted', instance: target.value.name }
        : ignored('The job has no instance.');
      await this.#write([...writes, insert(hookEvents, id, { answer: told, time: Date.now() })]);
      return { answer: told, ending: isLive ? target.id : undefined };
    });
    if (ending !== undefined) {
      await this.#end(caller, ending);
      await this.#fill(caller);
    }
    return answer;
  }

  /** Deletes the instance of a job that is ending. */
  async #end(caller: Caller, jobId: string): Promise<void> {
    await retrying(async () => {
      const job = await this.#store.get(hookJobs, jobId);
      if (job?.value.state !== 'ending') return;
      const link = await this.#store.get(hookInstances, jobId);
      if (link !== undefined) {
        const { instanceId } = link.value;
        await this.#parts.instances.delete(caller, instanceId, { purge: true }).catch(unlessMoot);
      }
      const ended = replace(hookJobs, job, { ...job.value, state: 'ended' as const, time: Date.now() });
      // Takes the place of the instance, so that a create that is still under way fails.
      const place = link === undefined ? [insert(hookInstances, jobId, { instanceId: siteId })] : [];
      await this.#write([ended, ...place]);
    });
  }

  /** Gives waiting jobs the places that have become free, the oldest first. */
  async #fill(caller: Caller): Promise<void> {
    for (const rule of this.#rules) {
      const filter = { rule: rule.name, state: 'waiting' };
      for (const { id } of await this.#store.page(hookJobs, { order: 'time', filter, limit: sweepLimit })) {
        const moved = await retrying(async () => {
          const job = await this.#store.get(hookJobs, id);
          if (job?.value.state !== 'waiting') return true;
          const place = await this.#place(rule);
          if (place === undefined) return false;
          await this.#write([
            place,
            replace(hookJobs, job, { ...job.value, state: 'live', time: Date.now() }),
          ]);
          return true;
        });
        if (!moved) break;
        await this.#make(caller, id);
      }
    }
  }

  /** Finds what was cut short, instances that are gone, and room for waiting jobs; forgets what is old. */
  async sweep(signal: AbortSignal): Promise<void> {
    const caller = hookCaller({ requestId: 'schedule-hooks', signal });
    await this.#each('ending', (job) => this.#end(caller, job.id));
    await this.#each('live', (job) => this.#check(caller, job));
    const late = Date.now() - jobLifetimeMs;
    await this.#each('waiting', async (job) => {
      if (job.value.time < late) await this.#giveUp(job);
    });
    await this.#fill(caller);
    await this.#forget();
  }

  async #check(caller: Caller, job: Job): Promise<void> {
    const link = await this.#store.get(hookInstances, job.id);
    if (link === undefined) {
      if (job.value.time < Date.now() - jobLifetimeMs) await this.#giveUp(job);
      else if (job.value.time < Date.now() - creating || job.value.error !== undefined)
        await this.#make(caller, job.id);
      return;
    }
    // Deleted by its expiry, or by hand.
    if ((await this.#store.get(instances, link.value.instanceId)) === undefined) await this.#giveUp(job);
  }

  async #giveUp(job: Job): Promise<void> {
    const next = { ...job.value, state: 'ended' as const, time: Date.now() };
    await unlessRaced(this.#store.write([replace(hookJobs, job, next)]));
  }

  async #each(state: string, work: (job: Job) => Promise<void>): Promise<void> {
    let after: [number, string] | undefined;
    for (;;) {
      const page = await this.#store.page(hookJobs, {
        order: 'time',
        filter: { state },
        limit: sweepLimit,
        ...(after === undefined ? {} : { after }),
      });
      for (const job of page) await work(job);
      const last = page.at(-1);
      if (last === undefined || page.length < sweepLimit) return;
      after = [last.value.time, last.id];
    }
  }

  async #forget(): Promise<void> {
    const before = Date.now() - memory;
    const span = { column: 'time', before };
    const events = await this.#store.page(hookEvents, { order: 'time', span, limit: 1000 });
    for (const event of events) await unlessRaced(this.#store.write([remove(hookEvents, event)]));
    const ended = await this.#store.page(hookJobs, {
      order: 'time',
      filter: { state: 'ended' },
      span,
      limit: 1000,
    });
    for (const job of ended) {
      const link = await this.#store.get(hookInstances, job.id);
      const others = link === undefined ? [] : [remove(hookInstances, link)];
      await unlessRaced(this.#store.write([remove(hookJobs, job), ...others]));
    }
  }
}
