import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { replace } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { timestamp } from '../../src/model/common.js';
import type { Instance } from '../../src/model/instance.js';
import type { TaskAttempt, TaskRecord } from '../../src/model/task.js';
import { eventually } from '../support/eventually.js';
import { deadOwner, distantOwner } from '../support/rows.js';
import { startServer, type TestServer } from '../support/server.js';
import { openTestStore } from '../support/store.js';

const file = 'copse.sqlite';

describe('tasks beyond the life of their process', () => {
  let dataDir: string;
  let open: TestServer | undefined;

  /** One server at a time on one file, with the simulated cloud's own file beside it. */
  const start = async (times: object = {}) => {
    open = await startServer({
      dataDir,
      flags: { store: `sqlite:${file}`, tasks: { grace: 0.05, ...times } },
    });
    return open;
  };
  const stop = async () => {
    const server = open;
    open = undefined;
    await server?.stop();
  };
  /** Looks at, and perhaps changes, the task while no server runs. */
  const between = async (id: string | undefined, change?: (task: TaskRecord) => TaskRecord) => {
    const store = await openTestStore(collections, `sqlite:${file}`, dataDir);
    try {
      const task = await store.get(tasks, id ?? '');
      if (task === undefined) throw new Error('the task is not there');
      if (change !== undefined) await store.write([replace(tasks, task, change(task.value))]);
      return task.value;
    } finally {
      await store.close();
    }
  };
  /** A create that was begun by some process that is no more, or far away. */
  const left = async (owner: string, more: Partial<TaskRecord> = {}) => {
    const server = await start({ backoff: 60, backoffMax: 60 });
    server.cloud.program({ verb: 'ensureServer', error: 'transient', times: 1 });
    const instance = await server.createInstance('left');
    await eventually(async () => (await server.task(instance.status.taskId)).retryTime !== undefined);
    await stop();
    const attempts: TaskAttempt[] = [{ number: 1, startTime: timestamp() }];
    const lease = { owner, leaseUntil: Date.now() + 3_600_000, token: 1, attempts };
    await between(instance.status.taskId, (task) => ({
      ...task,
      status: 'running',
      queue: 'running',
      ...lease,
      ...more,
    }));
    return instance;
  };
  const machines = (server: TestServer, instance: Instance) =>
    server.cloud.servers().filter((one) => one.id === instance.metadata.id);
  const outcomes = async (server: TestServer, instance: Instance) =>
    (await server.ended(instance.status.taskId)).attempts.map((attempt) => attempt.outcome);

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'copse-restart-'));
  });
  afterEach(async () => {
    await stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('are handed back when it stops, and carried on by the next without a second machine', async () => {
    const first = await start();
    first.cloud.program({ verb: 'ensureServer', delay: 1000, times: 1 });
    const instance = await first.createInstance('handed-on');
    await eventually(() => machines(first, instance)[0]?.powerState === 'Building');
    await stop();
    const task = await between(instance.status.taskId);
    expect(task)
      .to.include({ status: 'pending', queue: 'ready' })
      .and.not.to.have.any.keys('owner', 'leaseUntil');
    expect(task.attempts.map((attempt) => attempt.outcome)).to.deep.equal(['handed_over']);
    expect(task.steps.map(({ cause }) => cause?.code)).to.deep.equal(['handed_over']);

    const second = await start();
    expect(await outcomes(second, instance)).to.deep.equal(['handed_over', 'succeeded']);
    expect((await second.settled(instance.metadata.id)).status.powerState).to.equal('Running');
    expect(machines(second, instance)).to.have.length(1);
    expect(machines(second, instance)[0]?.boots).to.equal(1);
    expect(second.cloud.history(instance.metadata.id).map((entry) => entry.changed)).to.deep.equal([
      true,
      false,
    ]);
  });

  it('that were still in the queue are begun by the next, and those that end in time are not cut short', async () => {
    const first = await start({ concurrency: 1, grace: 5 });
    first.cloud.program({ verb: 'ensureServer', delay: 150, times: 1 });
    const running = await first.createInstance('in-time');
    const queued = await first.createInstance('queued');
    await eventually(async () => (await first.task(running.status.taskId)).status === 'running');
    await stop();
    expect((await between(running.status.taskId)).status).to.equal('succeeded');
    expect(await between(queued.status.taskId)).to.include({ status: 'pending', queue: 'ready' });
    const second = await start();
    expect(await outcomes(second, queued)).to.deep.equal(['succeeded']);
  });

  it('that wait for their retry do so across the restart', async () => {
    const first = await start({ backoff: 0.4, backoffMax: 0.4 });
    first.cloud.program({ verb: 'ensureServer', error: 'transient', times: 1 });
    const instance = await first.createInstance('waits');
    await eventually(async () => (await first.task(instance.status.taskId)).retryTime !== undefined);
    await stop();
    const due = (await between(instance.status.taskId)).runAfter ?? 0;
    const second = await start();
    expect(await outcomes(second, instance)).to.deep.equal(['failed', 'succeeded']);
    const { attempts } = await second.task(instance.status.taskId);
    expect(Date.parse(attempts[1]?.startTime ?? '')).to.be.at.least(due);
  });

  it('of a dead process are taken over at the start, long before their lease ends', async () => {
    const instance = await left(deadOwner());
    const server = await start();
    expect(await outcomes(server, instance)).to.deep.equal(['interrupted', 'succeeded']);
    expect(machines(server, instance)).to.have.length(1);
    expect(server.log.entries.map(({ message }) => message)).to.include('took over tasks of dead processes');
  });

  it('of a process that nobody can judge are left alone until it gave no sign for the time of a lease', async () => {
    const instance = await left(distantOwner());
    const before = Date.now();
    const server = await start({ poll: 0.05, lease: 1.2 });
    expect(await outcomes(server, instance)).to.deep.equal(['interrupted', 'succeeded']);
    const { attempts } = await server.task(instance.status.taskId);
    expect(Date.parse(attempts[1]?.startTime ?? '')).to.be.at.least(before + 1200);
  });

  it('that ended their process ten times are not tried again, and the instance says so', async () => {
    const attempts = Array.from({ length: 10 }, (_, index): TaskAttempt => ({
      number: index + 1,
      startTime: timestamp(),
      ...(index < 9 ? { endTime: timestamp(), outcome: 'interrupted' } : {}),
    }));
    const instance = await left(deadOwner(), { attempts });
    const server = await start();
    const task = await server.ended(instance.status.taskId);
    expect(task).to.include({ status: 'failed' });
    expect(task.cause).to.include({ code: 'attempts_exhausted', retryable: false });
    expect(machines(server, instance)).to.deep.equal([]);
    const { metadata } = await server.settled(instance.metadata.id);
    expect(metadata.provisioningStatusDetail?.message).to.equal(task.cause?.message);
  });

  it('that a delete has aborted stay aborted', async () => {
    const first = await start();
    first.cloud.program({ verb: 'ensureServer', delay: 700, times: 1 });
    const instance = await first.createInstance('doomed');
    await eventually(() => machines(first, instance)[0]?.powerState === 'Building');
    await stop();
    await between(instance.status.taskId, (task) => ({ ...task, abort: true }));
    const second = await start();
    expect((await second.ended(instance.status.taskId)).status).to.equal('cancelled');
  });

  it('leave the same instances, names and keys for the next process', async () => {
    const first = await start();
    const before = await first.running('stays');
    await stop();
    const second = await start();
    const after = await second.admin.get<Instance>(`/api/v2/instances/${before.metadata.id}`);
    expect(after.body).to.deep.equal(before);
    await second.admin.refused('name_taken', 'POST', '/api/v2/instances', {
      body: second.instanceBody('stays'),
    });
    expect(second.catalog).to.deep.equal(first.catalog);
  });
});
