import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import { insert, replace } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import type { Instance } from '../../src/model/instance.js';
import type { RegionErrorKind } from '../../src/region/provider.js';
import { eventually } from '../support/eventually.js';
import { taskRecord } from '../support/rows.js';
import { startServer, type TestServer } from '../support/server.js';
import { uuidv7 } from 'uuidv7';

describe('the task runner', () => {
  let server: TestServer;

  const history = (instance: Instance) => server.cloud.history(instance.metadata.id);
  const machines = (instance: Instance) =>
    server.cloud.servers().filter((one) => one.id === instance.metadata.id);

  before(async () => {
    server = await startServer({ flags: { tasks: { backoff: 0.03, backoffMax: 0.1, maxAttempts: 6 } } });
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('tries again with growing pauses until it succeeds, and records each attempt with its cause and steps', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'transient', times: 3 });
    const instance = await server.createInstance('persists');
    const task = await server.ended(instance.status.taskId);
    const message = 'The simulated region was programmed to fail (ensureServer).';
    const failed = { outcome: 'failed', cause: { code: 'unavailable', message, retryable: true } };
    expect(task.status).to.equal('succeeded');
    expect(task).not.to.have.any.keys('cause', 'retryTime');
    expect(
      task.attempts.map(({ number, outcome, cause }) => ({
        number,
        outcome,
        ...(cause === undefined ? {} : { cause }),
      })),
    ).to.deep.equal([
      { number: 1, ...failed },
      { number: 2, ...failed },
      { number: 3, ...failed },
      { number: 4, outcome: 'succeeded' },
    ]);
    const { cause } = failed;
    expect(
      task.steps.map(({ name, attempt, outcome, cause }) => [name, attempt, outcome, cause]),
    ).to.deep.equal([
      ['ensureServer', 1, 'failed', cause],
      ['ensureServer', 2, 'failed', cause],
      ['ensureServer', 3, 'failed', cause],
      ['ensureServer', 4, 'succeeded', undefined],
    ]);
    const pauses = task.attempts
      .slice(1)
      .map(
        (attempt, index) => Date.parse(attempt.startTime) - Date.parse(task.attempts[index]?.endTime ?? ''),
      );
    // Half of 30, 60 and 100 ms at least; a millisecond is lost to rounding.
    for (const [index, least] of [15, 30, 50].entries()) expect(pauses[index]).to.be.at.least(least - 1);
    const { metadata, status } = await server.settled(instance.metadata.id);
    expect(metadata.provisioningStatus).to.equal('provisioned');
    expect(metadata).not.to.have.property('provisioningStatusDetail');
    expect(status.powerState).to.equal('Running');
  });

  it('gives up after as many attempts as are configured, and the instance says why', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'transient' });
    const instance = await server.createInstance('gives-up');
    const task = await server.ended(instance.status.taskId);
    expect(task.status).to.equal('failed');
    expect(task.attempts).to.have.length(6);
    expect(task.cause).to.include({ code: 'unavailable' });
    const { metadata, status } = await server.settled(instance.metadata.id);
    expect(metadata).to.include({ provisioningStatus: 'error', healthStatus: 'error' });
    expect(metadata.provisioningStatusDetail).to.deep.equal({
      reason: 'Errored',
      message: task.cause?.message,
    });
    expect(status.powerState).to.equal('Error');
  });

  it('tries a deletion twenty times, however many attempts are configured', async () => {
    const instance = await server.running('stubborn');
    server.cloud.program({ verb: 'deleteServer', error: 'transient' });
    const reply = await server.admin.delete(`/api/v2/instances/${instance.metadata.id}`);
    const { id } = await eventually(
      async () => {
        const task = await server.task(reply.headers.get('location'));
        return task.status === 'failed' ? task : undefined;
      },
      { within: 30_000 },
    );
    expect((await server.task(id)).attempts.map(({ number }) => number)).to.deep.equal(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    server.cloud.clearProgram();
    await server.deleteInstance(instance.metadata.id);
  }).timeout(40_000);

  const kinds: [RegionErrorKind, string, boolean][] = [
    ['terminal', 'unprocessable', false],
    ['unsupported', 'not_implemented', false],
    ['conflict', 'conflict', false],
    ['not_found', 'not_found', false],
    ['busy', 'instance_busy', true],
    ['transient', 'unavailable', true],
  ];
  for (const [kind, code, again] of kinds) {
    it(`${again ? 'tries again' : 'fails at once'} when the region says "${kind}"`, async () => {
      server.cloud.program({ verb: 'ensureServer', error: kind, times: 1 });
      const instance = await server.createInstance(`kind-${kind.replace('_', '-')}`);
      const task = await server.ended(instance.status.taskId);
      expect(task.status).to.equal(again ? 'succeeded' : 'failed');
      expect(task.attempts).to.have.length(again ? 2 : 1);
      expect(task.attempts[0]?.cause).to.include({ code, retryable: again });
      const { metadata } = await server.settled(instance.metadata.id);
      expect(metadata.provisioningStatus).to.equal(again ? 'provisioned' : 'error');
    });
  }

  it('makes exactly one machine when the answers to a create are lost', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'transient', ambiguous: true, times: 3 });
    const instance = await server.createInstance('ambiguous');
    const task = await server.ended(instance.status.taskId);
    expect(task).to.include({ status: 'succeeded' });
    expect(task.attempts).to.have.length(4);
    expect(machines(instance)).to.have.length(1);
    expect(machines(instance)[0]?.boots).to.equal(1);
    expect(history(instance).map((entry) => entry.changed)).to.deep.equal([true, false, false, false]);
  });

  it('stops, starts, reboots and deletes once when the answers to these are lost', async () => {
    const instance = await server.running('lossy');
    for (const verb of ['stop', 'start'] as const) {
      server.cloud.program({ verb: `${verb}Server`, error: 'transient', ambiguous: true, times: 2 });
      const reply = await server.admin.post(`/api/v2/instances/${instance.metadata.id}/${verb}`);
      expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    }
    expect(machines(instance)[0]).to.include({ powerState: 'Running', boots: 2 });
    server.cloud.program({ verb: 'rebootServer', error: 'transient', ambiguous: true, times: 2 });
    for (const boots of [3, 4]) {
      const reply = await server.admin.post(`/api/v2/instances/${instance.metadata.id}/reboot`);
      expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
      expect(machines(instance)[0]).to.include({ powerState: 'Running', boots });
    }
    server.cloud.program({ verb: 'deleteServer', error: 'transient', ambiguous: true, times: 2 });
    const reply = await server.admin.delete(`/api/v2/instances/${instance.metadata.id}`);
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    expect(machines(instance)).to.deep.equal([]);
  });

  it('replaces the machine once when the answers to both halves are lost', async () => {
    const instance = await server.running('lossy-replace');
    server.cloud.program({ verb: 'deleteServer', error: 'transient', ambiguous: true, times: 1 });
    server.cloud.program({ verb: 'ensureServer', error: 'transient', ambiguous: true, times: 1 });
    const body = {
      metadata: { name: 'lossy-replace' },
      spec: { ...instance.spec, imageId: server.catalog.images['sim-linux-next'] },
    };
    const reply = await server.admin.put(`/api/v2/instances/${instance.metadata.id}?allowReplace=true`, body);
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    const changes = history(instance)
      .filter((entry) => entry.changed)
      .map((entry) => entry.verb);
    expect(changes).to.deep.equal(['ensureServer', 'deleteServer', 'ensureServer']);
    expect(machines(instance)[0]?.imageId).to.equal(server.catalog.images['sim-linux-next']);
  });

  it('runs the tasks of one instance one after the other, in the order in which they were asked for', async () => {
    const instance = await server.running('in-order');
    const stored = await server.app.store.get(instances, instance.metadata.id);
    if (stored === undefined) throw new Error('the instance is not there');
    const { regionId, projectId, organizationId } = stored.value;
    const types = ['instance.stop', 'instance.start', 'instance.reboot', 'instance.stop'] as const;
    const ids = types.map(() => uuidv7());
    server.cloud.program({ verb: 'stopServer', delay: 40, times: 1 });
    await server.app.store.write([
      replace(instances, stored, { ...stored.value, openTasks: ids }),
      ...types.map((type, index) =>
        insert(
          tasks,
          ids[index] ?? '',
          taskRecord(instance.metadata.id, {
            type,
            regionId,
            projectId,
            organizationId,
            priority: index,
            queue: index === 0 ? 'ready' : 'blocked',
          }),
        ),
      ),
    ]);
    await server.settled(instance.metadata.id, (one) => one.status.powerState === 'Stopped');
    expect(history(instance).map((entry) => entry.verb)).to.deep.equal([
      'ensureServer',
      'stopServer',
      'startServer',
      'rebootServer',
      'stopServer',
    ]);
    const ran = await Promise.all(ids.map((id) => server.task(id)));
    for (const [index, task] of ran.entries()) {
      if (index > 0)
        expect(Date.parse(task.startTime ?? '')).to.be.at.least(Date.parse(ran[index - 1]?.endTime ?? ''));
    }
  });
});

describe('the task runner with few hands', () => {
  it('never runs more tasks at a time than it may, and as many as it may', async () => {
    const server = await startServer({ flags: { tasks: { concurrency: 3 }, simulated: { delay: 15 } } });
    try {
      const counts: Promise<number>[] = [];
      const stop = server.app.store.watch((collection) => {
        if (collection === tasks.name)
          counts.push(server.app.store.count(tasks, { filter: { status: 'running' } }));
      });
      const orders = await Promise.all(
        Array.from({ length: 15 }, (_, index) => server.createInstance(`crowd-${index}`)),
      );
      for (const { status } of orders) await server.ended(status.taskId);
      stop();
      expect(Math.max(...(await Promise.all(counts)))).to.equal(3);
    } finally {
      await server.stop();
    }
  });

  it('goes on to the next as soon as a hand is free, without waiting for its regular look', async () => {
    const server = await startServer({ flags: { tasks: { concurrency: 2, poll: 3600, notice: 3600 } } });
    try {
      const orders = await Promise.all(
        Array.from({ length: 9 }, (_, index) => server.createInstance(`next-${index}`)),
      );
      for (const { status } of orders)
        expect((await server.ended(status.taskId)).status).to.equal('succeeded');
    } finally {
      await server.stop();
    }
  });

  it('takes the waiting task of the highest priority first, then the oldest', async () => {
    const server = await startServer({ flags: { tasks: { concurrency: 1 } } });
    try {
      server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
      const holder = await server.createInstance('holder');
      await eventually(async () => (await server.task(holder.status.taskId)).status === 'running');
      const orders: Instance[] = [];
      for (const name of ['a', 'b', 'c', 'd']) orders.push(await server.createInstance(name));
      for (const [index, priority] of [
        [2, 50],
        [3, 7],
      ] as const) {
        const task = await server.app.store.get(tasks, orders[index]?.status.taskId ?? '');
        if (task !== undefined)
          await server.app.store.write([replace(tasks, task, { ...task.value, priority })]);
      }
      await server.deleteInstance(holder.metadata.id);
      const ended = await Promise.all(orders.map((order) => server.ended(order.status.taskId)));
      const byStart = [...ended].sort(
        (a, b) => Date.parse(a.startTime ?? '') - Date.parse(b.startTime ?? ''),
      );
      expect(byStart.map((task) => task.subject?.name)).to.deep.equal(['c', 'd', 'a', 'b']);
    } finally {
      await server.stop();
    }
  });
});
