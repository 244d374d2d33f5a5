/**
 * Chaos: users, processes that die, hang and have wrong clocks, a store that is away and a region that lies. At the end
 * everything that was accepted has happened, once and in order. COPSE_CHAOS_MINUTES (default 3), COPSE_CHAOS_SEED.
 */
import { expect } from 'chai';
import type { Event } from '../../src/model/event.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { breachOf, isInOrder, Model } from '../support/chaos/model.js';
import { Monkey } from '../support/chaos/monkey.js';
import { Site } from '../support/chaos/site.js';
import { User } from '../support/chaos/user.js';
import { Client } from '../../src/client/client.js';
import { adminKey, offerOf, until } from '../support/process.js';

const minutes = Number(process.env['COPSE_CHAOS_MINUTES'] ?? 3);
const seed = Number(process.env['COPSE_CHAOS_SEED'] ?? 20_261_121);
const users = 6;
const onMongo = process.env['COPSE_TEST_STORE'] === 'mongodb';

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
    return new Client(site.urls()[0] ?? '', adminKey, { timeout: 20_000 });
  }

  it('loses nothing, doubles nothing and ends every accepted task', async () => {
    const offer = await offerOf(client(), 'sim-linux');
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), minutes * 60_000);
    const work = [
      ...Array.from({ length: users }, (_, index) =>
        new User(`u${index}`, () => site.urls(), model, offer, randomly(seed + index)).live(over.signal),
      ),
      new Monkey(site, model, randomly(seed - 1)).rage(over.signal),
    ];
    try {
      await Promise.all(work);
    } catch (error) {
      over.abort();
      await Promise.allSettled(work);
      throw error;
    } finally {
      clearTimeout(timer);
    }
    await site.withCloud((region) => region.clearProgram());
    await until('all tasks to end', 180, async () => {
      const open = await client().get<Task[]>('/api/v2/tasks?status=pending&status=running&limit=1');
      return open.body.length === 0 ? true : undefined;
    });
    const counts = [...model.counts].map(([what, count]) => `${what} ${count}`).join(', ');
    console.log(`      ${model.wishes.size} instances, ${model.accepted.length} tasks: ${counts}`);
    // That the run was worth its name. FerretDB does a tenth of what SQLite does.
    expect(model.counts.get('actions')).to.be.greaterThan(minutes * (onMongo ? 50 : 300));
    expect(model.counts.get('kill -9')).to.be.greaterThan(minutes * 3);
  });

  it('has each accepted task succeeded, or cancelled by the deletion of its instance', async () => {
    for (const wish of model.wishes.values()) {
      for (const { task, verb } of wish.work) {
        if (task === undefined) continue;
        const { body } = await client().get<Task>(`/api/v2/tasks/${task}`);
        const legal = wish.deleted && verb !== 'delete' ? ['succeeded', 'cancelled'] : ['succeeded'];
        expect(body.status, `${verb} of ${wish.name}: ${JSON.stringify(body)}`).to.be.oneOf(legal);
      }
    }
  });

  it('shows exactly the living instances, each as it was last wished', async () => {
    const seen = new Map<string, Instance>();
    for await (const instance of client().items<Instance>('/api/v2/instances?limit=50'))
      seen.set(instance.metadata.id, instance);
    expect([...seen.keys()].sort()).to.deep.equal(model.living.map(({ id }) => id).sort());
    for (const { id, name, power, description } of model.living) {
      const { metadata, status } = seen.get(id) ?? {};
      expect(metadata?.description, name).to.equal(description);
      expect(status?.powerState, name).to.equal(power === 'running' ? 'Running' : 'Stopped');
      expect(status?.taskId, name).to.be.undefined;
    }
  });

  it('has in the region one server for each living instance as it was last wished, and no other', async () => {
    await site.withCloud((region) => {
      const servers = new Map(region.servers().map((server) => [server.id, server]));
      expect([...servers.keys()].sort()).to.deep.equal(model.living.map(({ id }) => id).sort());
      for (const { id, name, power } of model.living)
        expect(servers.get(id)?.powerState, name).to.equal(power === 'running' ? 'Running' : 'Stopped');
    });
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

  it('has done to each machine what was wished, in that order, and never two things at a time', async () => {
    await site.withCloud((region) => {
      for (const { id, name, work } of model.wishes.values()) {
        const done = region
          .history(id)
          .filter(({ changed }) => changed)
          .map(({ verb }) => verb);
        const wished = work.map(({ verb }) => verb).join(' ');
        expect(isInOrder(done, work), `${name}: wished ${wished}, done ${done.join(' ')}`).to.equal(true);
        expect(done.filter((verb) => verb === 'ensureServer').length, name).to.be.at.most(1);
      }
    });
  });
});
