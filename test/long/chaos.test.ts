/**
 * Chaos: users, processes that die, hang and have wrong clocks, a store that is away and a region that lies. At the end
 * everything that was accepted has happened, once and in order. COPSE_CHAOS_MINUTES (default 2), COPSE_CHAOS_SEED.
 */
import { expect } from 'chai';
import type { Event } from '../../src/model/event.js';
import type { Flavor } from '../../src/model/flavor.js';
import type { Instance } from '../../src/model/instance.js';
import type { Project } from '../../src/model/project.js';
import type { Task } from '../../src/model/task.js';
import { overlaps } from '../support/chaos/calls.js';
import { breachOf, isInOrder, legalEnds, Model } from '../support/chaos/model.js';
import { faults, Monkey } from '../support/chaos/monkey.js';
import { clockSkews, lease, Site } from '../support/chaos/site.js';
import { User } from '../support/chaos/user.js';
import type { Client } from '../../src/client/client.js';
import { checkedClient } from '../support/conform.js';
import { adminKey, type Offer, offerOf, until } from '../support/process.js';

const minutes = Number(process.env['COPSE_CHAOS_MINUTES'] ?? 2);
const seed = Number(process.env['COPSE_CHAOS_SEED'] ?? 20_261_121);
const users = 6;
const onMongo = process.env['COPSE_TEST_STORE'] === 'mongodb';

const powerStates = { running: ['Running'], stopped: ['Stopped'], unknown: ['Running', 'Stopped'] };

function timeOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text);
}

function randomly(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe(`chaos for ${minutes} minutes, seed ${seed}`, function () {
  this.timeout((minutes + 6) * 60_000);
  const site = new Site();
  const model = new Model();

  before(() => site.startAll());
  after(() => site.close());

  function client(): Client {
    return checkedClient(site.urls()[0] ?? '', adminKey, { timeout: 20_000 });
  }

  /** Whether enough has happened. MongoDB does a part of what SQLite does; a busy machine takes longer for it. */
  function isWorthwhile(): boolean {
    const { counts } = model;
    const actions = minutes * (onMongo ? 50 : 300);
    return (counts.get('actions') ?? 0) > actions && (counts.get('kill -9') ?? 0) > minutes * 3;
  }

  /** The smallest, which the offer has, and the next. */
  async function flavorsOf({ regionId }: Offer): Promise<string[]> {
    const [project] = (await client().get<Project[]>('/api/v2/projects')).body;
    const path = `/api/v1/organizations/${project?.metadata.organizationId ?? ''}/regions/${regionId}/flavors`;
    return (await client().get<Flavor[]>(path)).body.slice(0, 2).map(({ metadata }) => metadata.id);
  }

  it('loses nothing, doubles nothing and ends every accepted task', async () => {
    const offer = await offerOf(client(), 'sim-linux');
    const flavors = await flavorsOf(offer);
    const over = new AbortController();
    const end = performance.now() + minutes * 60_000;
    const work = [
      ...Array.from({ length: users }, (_, index) =>
        new User(`u${index}`, () => site.urls(), model, { offer, flavors }, randomly(seed + index)).live(
          over.signal,
        ),
      ),
      new Monkey(site, model, randomly(seed - 1)).rage(over.signal),
    ];
    const timer = setInterval(() => {
      if (performance.now() >= end && isWorthwhile()) over.abort();
    }, 1000);
    try {
      await Promise.all(work);
    } catch (error) {
      over.abort();
      await Promise.allSettled(work);
      throw error;
    } finally {
      clearInterval(timer);
    }
    await site.withCloud((region) => region.clearProgram());
    await until('all tasks to end', 180, async () => {
      const open = await client().get<Task[]>(
        '/api/v2/tasks?status=inactive&status=pending&status=running&limit=1',
      );
      return open.body.length === 0 ? true : undefined;
    });
    const counts = [...model.counts].map(([what, count]) => `${what} ${count}`).join(', ');
    console.log(`      ${model.wishes.size} instances, ${model.accepted.length} tasks: ${counts}`);
  });

  it('has suffered every kind of fault', () => {
    const { fates, skews, stills } = site.probes();
    const told = (fails: string) => fates.filter((fate) => fate.fails === fails).length;
    const [before, after] = [told('before'), told('after')];
    const spans = new Set(fates.map(({ delay }) => delay));
    console.log(
      `      of ${fates.length} acts ${before} failed before, ${after} after the fact; ${spans.size} delays`,
    );
    for (const fault of faults) expect(model.counts.get(fault), fault).to.be.at.least(1);
    // A twentieth at least of all acts: the region's own failures, not only those that were programmed.
    expect(before).to.be.greaterThan(fates.length / 20);
    expect(after).to.be.greaterThan(fates.length / 100);
    expect(spans.size).to.be.greaterThan(50);
    expect(stills.filter(({ from, to }) => to - from > lease * 1000)).not.to.be.empty;
    for (const skew of clockSkews)
      expect(
        skews.some((one) => Math.abs(one - skew) < 2000),
        `a clock that is ${skew} ms off`,
      ).to.be.true;
  });

  it('has made all that users can do', () => {
    for (const call of ['POST 201', 'POST 202', 'POST 200', 'PUT 202', 'PATCH 200', 'DELETE 202'])
      expect(
        [...model.counts.keys()].some((key) => key.startsWith(call)),
        call,
      ).to.be.true;
    const works = [...model.wishes.values()].flatMap(({ work }) => work);
    expect(works.some(({ aborted }) => aborted)).to.be.true;
    expect(works.some(({ verb }) => verb === 'replace')).to.be.true;
  });

  it('has each accepted task succeeded, or cancelled by an abort, the deletion of its instance or a stop of its reboot', async () => {
    for (const wish of model.wishes.values()) {
      for (const { task, verb } of wish.work) {
        if (task === undefined) continue;
        const { body } = await client().get<Task>(`/api/v2/tasks/${task}`);
        expect(body.status, `${verb} of ${wish.name}: ${JSON.stringify(body)}`).to.be.oneOf(
          legalEnds(wish, task),
        );
      }
    }
  });

  it('shows exactly the living instances, each as it was last wished', async () => {
    const seen = new Map<string, Instance>();
    for await (const instance of client().items<Instance>('/api/v2/instances?limit=50'))
      seen.set(instance.metadata.id, instance);
    expect([...seen.keys()].sort()).to.deep.equal(model.living.map(({ id }) => id).sort());
    for (const { id, name, power, description, flavorId, expiresAt } of model.living) {
      const { metadata, spec, status } = seen.get(id) ?? {};
      expect(metadata?.description, name).to.equal(description);
      expect(spec?.flavorId, name).to.equal(flavorId);
      expect(timeOf(spec?.expiresAt), name).to.equal(timeOf(expiresAt));
      expect(status?.powerState, name).to.be.oneOf(powerStates[power]);
      expect(status?.taskId, name).to.be.undefined;
    }
  });

  it('has in the region one server for each living instance as it was last wished, and no other', async () => {
    const servers = new Map((await site.withCloud((region) => region.servers())).map((one) => [one.id, one]));
    expect([...servers.keys()].sort()).to.deep.equal(model.living.map(({ id }) => id).sort());
    for (const { id, name, power, flavorId } of model.living) {
      expect(servers.get(id)?.powerState, name).to.be.oneOf(powerStates[power]);
      expect(servers.get(id)?.flavorId, name).to.equal(flavorId);
      const { body } = await client().get<Instance>(`/api/v2/instances/${id}`);
      expect(body.status.powerState, name).to.equal(servers.get(id)?.powerState);
    }
  });

  it('tells in its events that nobody wrote a task who no longer held it', async () => {
    const tasks = new Map<string, Task>();
    for await (const { resource, resourceId } of client().items<Event>(
      '/api/v2/events?subject=task&limit=1000',
    )) {
      const task = resource as Task | null;
      if (task === null) continue;
      const breach = breachOf(tasks.get(resourceId), task);
      expect(breach, `task ${resourceId}: ${JSON.stringify(task)}`).to.be.undefined;
      tasks.set(resourceId, task);
    }
    expect(tasks.size).to.be.at.least(new Set(model.accepted).size);
  });

  it('has done to each machine what was wished, once and in that order', async () => {
    await site.withCloud((region) => {
      for (const { id, name, work } of model.wishes.values()) {
        const done = region
          .history(id)
          .filter(({ changed }) => changed)
          .map(({ verb }) => verb);
        const wished = work.map(({ verb }) => verb).join(' ');
        expect(isInOrder(done, work), `${name}: wished ${wished}, done ${done.join(' ')}`).to.equal(true);
      }
    });
  });

  it('has never had two at work on one machine, but for a process that stood still', () => {
    const { calls, stills } = site.probes();
    expect(calls.length).to.be.at.least(new Set(model.accepted).size / 2);
    // What a process that runs again still does ends with its next sign of life, four of which make a lease.
    expect(overlaps(calls, stills, { least: lease * 100, mercy: lease * 1000 })).to.deep.equal([]);
  });
});
