/** Random lives of a queue that two workers and some users share, over a real store. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { Caller } from '../../src/data/caller.js';
import { instances } from '../../src/data/instance.js';
import { type HeldTask, LeaseLost } from '../../src/data/held-task.js';
import { TaskQueue } from '../../src/data/queue.js';
import { insert, replace, type Store } from '../../src/data/store/port.js';
import { TaskControl } from '../../src/data/task-control.js';
import type { SubjectChange } from '../../src/data/task-end.js';
import { openTask, tasks } from '../../src/data/task.js';
import { ApiError } from '../../src/model/error.js';
import type { InstanceRecord } from '../../src/model/instance.js';
import type { TaskCause, TaskPatch } from '../../src/model/task.js';
import { instanceRecord, regionId } from '../support/rows.js';
import { onMongo, openTestStore } from '../support/store.js';

const cause: TaskCause = { code: 'unavailable', message: 'Not now.', retryable: true };
const owners = ['a', 'b'] as const;
const subjects = ['0193a5c0-0000-7000-8000-00000000000a', '0193a5c0-0000-7000-8000-00000000000b'];
const caller: Caller = {
  principal: { id: 'u', name: 'user', superUser: true },
  requestId: 'r',
  signal: new AbortController().signal,
};
/** A power verb that failed leaves a machine that takes any verb. */
const settle: SubjectChange = (instance) => ({ ...(instance as InstanceRecord), powerState: 'Error' });

type Act =
  | { act: 'open'; subject: number }
  | { act: 'claim' | 'promote' | 'takeOver'; worker: number }
  | {
      act: 'renew' | 'step' | 'succeed' | 'fail' | 'retry' | 'giveBack';
      worker: number;
      which: number;
    }
  | { act: 'abort' | 'restart'; which: number }
  | { act: 'patch'; which: number; patch: TaskPatch };

const worker = fc.nat(1);
const which = fc.nat(20);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant('open' as const), subject: fc.nat(1) }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constant('claim' as const), worker }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constantFrom('promote' as const, 'takeOver' as const), worker }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constantFrom(
        ...(['renew', 'step', 'succeed', 'succeed', 'fail', 'retry', 'giveBack'] as const),
      ),
      worker,
      which,
    }),
  },
  { weight: 3, arbitrary: fc.record({ act: fc.constantFrom('abort' as const, 'restart' as const), which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant('patch' as const),
      which,
      patch: fc.oneof(
        fc.record({ activated: fc.boolean() }),
        fc.record({ priority: fc.integer({ min: -3, max: 200 }) }),
        fc.record({ activated: fc.boolean(), priority: fc.integer({ min: -3, max: 200 }) }),
      ),
    }),
  },
);

class World {
  readonly store: Store;
  readonly #queues: TaskQueue[];
  readonly #control: TaskControl;
  /** Every claim that was ever made, by worker; also those that are long over. */
  readonly #claims: HeldTask[][] = [[], []];
  readonly #ids: string[] = [];
  readonly #tokens = new Map<string, number>();
  readonly #granted = new Set<string>();
  /** By task: the token that may write. */
  readonly #holders = new Map<string, number>();

  constructor(store: Store) {
    this.store = store;
    this.#queues = owners.map((owner) => new TaskQueue(store, { owner, lease: 1000 }));
    this.#control = new TaskControl(store);
  }

  async begin(): Promise<void> {
    const record = instanceRecord({ powerState: 'Error' });
    const writes = subjects.map((id, index) => insert(instances, id, { ...record, name: `i${index}` }));
    await this.store.write(writes);
  }

  queue(index: number): TaskQueue {
    const found = this.#queues[index];
    if (found === undefined) throw new Error('no such worker');
    return found;
  }

  async perform(step: Act): Promise<void> {
    switch (step.act) {
      case 'open':
        return this.#open(subjects[step.subject] ?? '');
      case 'claim':
        await this.claim(step.worker);
        return;
      case 'promote':
        await this.queue(step.worker).promoteDue(Date.now() + 10_000);
        return;
      case 'takeOver':
        await this.queue(step.worker).takeOver(0, (owner) => owner !== owners[step.worker]);
        return;
      case 'abort':
      case 'restart':
        return this.#ask(step.which, (id) => this.#control[step.act](caller, id));
      case 'patch':
        return this.#ask(step.which, (id) => this.#control.patch(caller, id, step.patch));
      case 'renew':
      case 'step':
      case 'succeed':
      case 'fail':
      case 'retry':
      case 'giveBack':
        return this.#work(step);
    }
  }

  /** Refusals are answers; anything else is a fault. */
  async #ask(index: number, question: (id: string) => Promise<unknown>): Promise<void> {
    const id = this.#ids[index % Math.max(1, this.#ids.length)];
    if (id === undefined) return;
    await question(id).catch((error: unknown) => {
      if (!(error instanceof ApiError) || error.status !== 409) throw error;
    });
  }

  async #open(subject: string): Promise<void> {
    const instance = await this.store.get(instances, subject);
    if (instance === undefined) throw new Error('the instance is gone');
    if (instance.value.openTasks.length >= 4) return;
    const task = openTask('instance', instance, 'instance.stop', {}, caller);
    const next = { ...instance.value, openTasks: task.openTasks };
    await this.store.write([replace(instances, instance, next), task.write]);
    this.#ids.push(task.id);
  }

  async claim(index: number): Promise<HeldTask | undefined> {
    const claim = await this.queue(index).claim(regionId);
    if (claim === undefined) return undefined;
    const { token, activated, abort } = claim.value;
    expect(activated || abort === true, 'an inactive task was claimed').to.be.true;
    const grant = `${claim.id} ${token}`;
    expect(this.#granted, 'a token was given twice').not.to.include(grant);
    this.#granted.add(grant);
    this.#holders.set(claim.id, token);
    this.#claims[index]?.push(claim);
    return claim;
  }

  async #work({ act: what, worker: index, which: number }: Extract<Act, { worker: number; which: number }>) {
    const claims = this.#claims[index] ?? [];
    const claim = claims[number % Math.max(1, claims.length)];
    if (claim === undefined) return;
    const before = await this.store.get(tasks, claim.id);
    const held = before?.value.queue === 'running' && before.value.token === claim.value.token;
    const step = { name: 's', attempt: 1, startTime: 't' };
    const works: Record<typeof what, () => Promise<unknown>> = {
      renew: () => claim.renew(),
      step: () => claim.step(step),
      succeed: () => claim.finish({ status: 'succeeded' }, settle),
      fail: () => claim.finish({ status: 'failed', cause }, settle),
      retry: () => claim.retryLater(cause, Date.now() + 5000),
      giveBack: () => claim.giveBack(),
    };
    try {
      await works[what]();
      expect(held, `${what} with a stale token`).to.be.true;
      expect(this.#holders.get(claim.id)).to.equal(claim.value.token);
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
      expect(held, `${what} of the holder was refused`).to.be.false;
    }
  }

  /** What holds at any moment. */
  async check(): Promise<void> {
    const all = await this.store.page(tasks, { order: 'id', limit: 1000 });
    expect(all.map(({ id }) => id).sort(), 'a task is lost').to.deep.equal([...this.#ids].sort());
    for (const { id, value } of all) {
      expect(value.token, 'tokens only grow').to.be.at.least(this.#tokens.get(id) ?? 0);
      this.#tokens.set(id, value.token);
      const over = ['succeeded', 'failed', 'cancelled'].includes(value.status);
      expect(value.queue === 'done', `${value.status} in ${value.queue}`).to.equal(over);
      expect(value.queue === 'running')
        .to.equal(value.status === 'running')
        .and.equal('owner' in value);
      if (value.queue === 'inactive') expect(value).to.include({ status: 'inactive', activated: false });
      expect(value.endTime !== undefined).to.equal(over);
    }
    for (const subject of subjects) {
      const instance = await this.store.get(instances, subject);
      const open = instance?.value.openTasks ?? [];
      const mine = all.filter(({ value }) => value.subject?.id === subject && value.queue !== 'done');
      expect([...open].sort(), 'open tasks and the list of them').to.deep.equal(
        mine.map(({ id }) => id).sort(),
      );
      for (const { id, value } of mine)
        expect(value.queue === 'blocked', `place ${open.indexOf(id)}: ${value.queue}`).to.equal(
          open[0] !== id,
        );
    }
  }

  /** Everybody works on: whatever was accepted comes to an end. */
  async drain(): Promise<void> {
    for (const index of this.#ids.keys())
      await this.#ask(index, (id) => this.#control.patch(caller, id, { activated: true }));
    for (const index of [0, 1]) await this.queue(index).takeOver(0, () => true);
    await this.queue(0).promoteDue(Date.now() + 60_000);
    for (let claim = await this.claim(0); claim !== undefined; claim = await this.claim(0)) {
      await claim.finish({ status: 'succeeded' }, settle);
      await this.queue(0).promoteDue(Date.now() + 60_000);
    }
    expect(await this.store.count(tasks, { filter: { queue: 'done' } })).to.equal(this.#ids.length);
  }
}

describe('the task queue under random use', function () {
  this.timeout(120_000);

  const live = async (groups: readonly (readonly Act[])[]) => {
    const world = new World(await openTestStore());
    try {
      await world.begin();
      for (const group of groups) {
        await Promise.all(group.map((step) => world.perform(step)));
        await world.check();
      }
      await world.drain();
      await world.check();
    } finally {
      await world.store.close();
    }
  };

  it('never has two holders of a task nor two tasks at work on a subject, loses none, and its tokens only grow', async () => {
    const steps = fc.array(
      act.map((step) => [step]),
      { minLength: 1, maxLength: 60 },
    );
    await fc.assert(fc.asyncProperty(steps, live), { numRuns: onMongo ? 5 : 300 });
  });

  it('nor when users and workers act at the same time', async () => {
    // Who holds a task is known between two steps only, so those who work on claims go one at a time.
    const users = act.filter((step) => !('worker' in step && 'which' in step) && step.act !== 'open');
    const group = fc.oneof(
      act.map((step) => [step]),
      fc.array(users, { minLength: 2, maxLength: 5 }),
    );
    await fc.assert(fc.asyncProperty(fc.array(group, { minLength: 5, maxLength: 40 }), live), {
      numRuns: onMongo ? 5 : 150,
    });
  });
});
