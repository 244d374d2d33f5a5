import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { insert, replace } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task, TaskRecord } from '../../src/model/task.js';
import { checkedFetch } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { taskRecord } from '../support/rows.js';
import { messageOf, startServer, type TestServer } from '../support/server.js';

const address = (id: string | undefined) => `/api/v2/tasks/${id ?? ''}`;
const instanceAddress = ({ metadata }: Instance) => `/api/v2/instances/${metadata.id}`;

describe('what users do to tasks', () => {
  let server: TestServer;
  let member: Person;

  const patch = (id: string | undefined, body: unknown, api = server.admin, headers = {}) =>
    api.call<Task>('PATCH', address(id), { body, headers });
  /** A create that is under way until it is aborted. */
  const held = async (name: string, api = server.admin) => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const instance = await server.createInstance(name, {}, api);
    await eventually(async () => (await server.task(instance.status.taskId)).status === 'running');
    return instance;
  };
  /** A create that cannot begin, because its instance's queue stands still: its task is inactive from the first. */
  const seeded = async (name: string, change: Partial<TaskRecord> = {}) => {
    const { projectId, organizationId, regionId, networkId, flavors, images } = server.catalog;
    const [instanceId, taskId] = [uuidv7(), uuidv7()];
    const project = { projectId, organizationId, regionId };
    await server.app.store.write([
      insert(instances, instanceId, {
        ...project,
        networkId,
        name,
        flavorId: flavors['tiny'] ?? '',
        imageId: images['sim-linux'] ?? '',
        creationTime: new Date().toISOString(),
        createdBy: 'test',
        provisioning: { status: 'pending' },
        desiredPower: 'running',
        openTasks: [taskId],
      }),
      insert(tasks, taskId, {
        ...taskRecord(instanceId, { ...project, type: 'instance.create' }),
        status: 'inactive',
        queue: 'inactive',
        activated: false,
        ifCancelled: { provisioning: { status: 'error', reason: 'Aborted', message: 'It was aborted.' } },
        ...change,
      }),
    ]);
    return { instanceId, taskId };
  };

  before(async () => {
    server = await startServer({ flags: { tasks: { concurrency: 4 } } });
    member = await addPerson(server.app, 'member');
    await addProject(server.app, { name: 'theirs', members: [member] });
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  describe('PATCH /api/v2/tasks/{taskID}', () => {
    it('activates a task, which then runs; before that nobody claims it', async () => {
      const { taskId } = await seeded('activated');
      await server.running('meanwhile');
      expect(await server.task(taskId)).to.include({ status: 'inactive', activated: false });
      const reply = await patch(taskId, { activated: true });
      expect(reply.status).to.equal(200);
      expect(reply.body).to.include({ id: taskId, activated: true, status: 'pending' });
      expect(await server.ended(taskId)).to.include({ status: 'succeeded' });
    });

    it('applies both fields in one step, and answers with the task and its new entity tag', async () => {
      const { taskId } = await seeded('both');
      const before = await server.admin.get(address(taskId));
      const { body, headers } = await patch(taskId, { activated: false, priority: 7 });
      expect(body).to.include({ activated: false, priority: 7, status: 'inactive' });
      expect(headers.get('etag')).not.to.equal(before.headers.get('etag'));
      const after = await server.admin.get<Task>(address(taskId));
      expect(after.body).to.deep.equal(body);
      expect(after.headers.get('etag')).to.equal(headers.get('etag'));
    });

    it('that changes nothing leaves the entity tag', async () => {
      const { taskId } = await seeded('unchanged', { priority: 3 });
      const before = await server.admin.get(address(taskId));
      const { headers } = await patch(taskId, { priority: 3, activated: false });
      expect(headers.get('etag')).to.equal(before.headers.get('etag'));
    });

    it('takes a negative priority, which holds the task, unless it is activated in the same breath', async () => {
      const { taskId } = await seeded('negative');
      await patch(taskId, { priority: 5 });
      const task = await server.app.store.get(tasks, taskId);
      if (task === undefined) throw new Error('no task');
      // As if it were blocked, so that it does not run away once it is active.
      await server.app.store.write([
        replace(tasks, task, { ...task.value, queue: 'blocked', activated: true, status: 'pending' }),
      ]);
      expect((await patch(taskId, { priority: -1 })).body).to.include({
        priority: -1,
        activated: false,
        status: 'inactive',
      });
      expect((await patch(taskId, { priority: -2, activated: true })).body).to.include({
        priority: -2,
        activated: true,
        status: 'pending',
      });
    });

    it('lets members set up to 100, and superusers anything; 403 names the value and the ceiling, and changes nothing', async () => {
      const mine = await held('priority', member.api);
      const id = mine.status.taskId;
      expect((await patch(id, { priority: 100 }, member.api)).body.priority).to.equal(100);
      const refused = await member.api.refused('forbidden', 'PATCH', address(id), {
        body: { priority: 101, activated: false },
      });
      expect(refused.body.message).to.include('101').and.to.include('100');
      expect(await server.task(id)).to.include({ priority: 100, activated: true });
      expect((await patch(id, { priority: 101 })).body.priority).to.equal(101);
      await server.deleteInstance(mine.metadata.id);
    });

    it('refuses a body with nothing to change, null, a wrong type and unknown members', async () => {
      const { taskId } = await seeded('strict');
      const bodies = [
        {},
        { activated: null },
        { priority: null, activated: true },
        { activated: 'yes' },
        { priority: '5' },
        { priority: 1.5 },
        { priority: 1e12 },
        { Activated: true },
        { activated: true, status: 'failed' },
      ];
      for (const body of bodies)
        await server.admin.refused('invalid_body', 'PATCH', address(taskId), { body });
      for (const body of [[], null])
        await server.admin.refused('malformed_json', 'PATCH', address(taskId), { body });
      await server.admin.refused('malformed_json', 'PATCH', address(taskId), {
        raw: '{"activated": true} x',
        headers: { 'Content-Type': 'application/json' },
      });
      expect(await server.task(taskId)).to.include({ activated: false, priority: 0 });
    });

    it('minds If-Match: of two who have the same tag one wins', async () => {
      const { taskId } = await seeded('matched');
      const tag = (await server.admin.get(address(taskId))).headers.get('etag') ?? '';
      const replies = await Promise.all(
        [11, 22].map((priority) => patch(taskId, { priority }, server.admin, { 'If-Match': tag })),
      );
      expect(replies.map((reply) => reply.status).sort()).to.deep.equal([200, 412]);
      const winner = replies.find((reply) => reply.status === 200);
      expect((await server.task(taskId)).priority).to.equal(winner?.body.priority);
    });

    it('is refused when the task has ended, to strangers, and to the anonymous before the body is judged', async () => {
      const instance = await server.running('over');
      const { body } = await server.admin.get<Task[]>(`/api/v2/tasks?subjectID=${instance.metadata.id}`);
      const id = body[0]?.id;
      const told = await server.admin.refused('task_state_conflict', 'PATCH', address(id), {
        body: { priority: 1 },
      });
      expect(told.body.message).to.include('succeeded');
      await member.api.refused('not_found', 'PATCH', address(id), { body: { priority: 101 } });
      const anonymous = await checkedFetch(server.url + address(id), { method: 'PATCH', body: 'nonsense' });
      expect(anonymous.status).to.equal(401);
      await server.admin.refused('not_found', 'PATCH', address(uuidv7()), { body: { priority: 1 } });
    });

    it('lets a running task go on, and holds it before its next attempt', async () => {
      server.cloud.program({ verb: 'ensureServer', delay: 150, error: 'transient', times: 1 });
      const instance = await server.createInstance('held-between');
      const id = instance.status.taskId;
      await eventually(async () => (await server.task(id)).status === 'running');
      expect((await patch(id, { activated: false })).body).to.include({
        status: 'running',
        activated: false,
      });
      await eventually(async () => (await server.task(id)).status === 'inactive');
      expect((await server.task(id)).attempts).to.have.length(1);
      await patch(id, { activated: true });
      expect(await server.ended(id)).to.include({ status: 'succeeded' });
    });

    it('pulls along what runs before the task on its instance', async () => {
      const first = await seeded('pulled');
      const reply = await server.admin.delete(`/api/v2/instances/${first.instanceId}`);
      // The delete has ended the task that had not begun, so one that is in the way is put before it.
      const deletion = reply.headers.get('location')?.split('/').at(-1) ?? '';
      await server.ended(deletion);
      const [instanceId, ahead, behind] = [uuidv7(), uuidv7(), uuidv7()];
      const { projectId, organizationId, regionId } = server.catalog;
      const record = taskRecord(instanceId, { projectId, organizationId, regionId });
      const other = await server.running('pulled-by');
      const template = await server.app.store.get(instances, other.metadata.id);
      if (template === undefined) throw new Error('no instance');
      await server.app.store.write([
        insert(instances, instanceId, { ...template.value, name: 'pulling', openTasks: [ahead, behind] }),
        insert(tasks, ahead, { ...record, activated: false, status: 'inactive', queue: 'inactive' }),
        insert(tasks, behind, { ...record, queue: 'blocked' }),
      ]);
      await patch(behind, { priority: 40 });
      expect(await server.task(ahead)).to.include({ priority: 40, activated: false });
      await patch(behind, { priority: 10 });
      expect(await server.task(ahead)).to.include({ priority: 40 });
      await patch(behind, { activated: true });
      expect(await server.ended(ahead)).to.include({ activated: true });
      expect(await server.ended(behind)).to.include({ priority: 10 });
    });
  });

  describe('POST /api/v2/tasks/{taskID}/abort', () => {
    it('cancels at once what has not begun, and the instance is as before', async () => {
      const stopped = await server.running('unstopped');
      const blockers = await Promise.all([1, 2, 3, 4].map((n) => held(`blocker-${n}`)));
      const stop = await server.admin.post(`${instanceAddress(stopped)}/stop`);
      const task = stop.headers.get('location') ?? '';
      const reply = await server.admin.post(`${new URL(task).pathname}/abort`);
      expect(reply.status).to.equal(202);
      expect(reply.headers.get('location')).to.equal(task);
      const ended = await server.task(task);
      expect(ended).to.include({ status: 'cancelled' });
      expect(ended.cause).to.deep.equal({
        code: 'aborted',
        message: 'The task was aborted by admin.',
        retryable: false,
      });
      const { body } = await server.admin.get<Instance>(instanceAddress(stopped));
      expect(body.status).to.include({ powerState: 'Running' }).and.not.to.have.property('taskId');
      for (const { metadata } of blockers) await server.deleteInstance(metadata.id);
      expect(server.cloud.history(stopped.metadata.id).map(({ verb }) => verb)).to.deep.equal([
        'ensureServer',
      ]);
    });

    it('stops what runs: the step ends, the task is cancelled, and the instance says so', async () => {
      const instance = await held('stopped-short');
      const id = instance.status.taskId;
      const reply = await server.admin.post<Task>(`${address(id)}/abort`, undefined, {
        headers: { Prefer: 'wait=10' },
      });
      expect(reply.status).to.equal(200);
      expect(reply.body).to.include({ status: 'cancelled' });
      expect(reply.body.steps.map(({ outcome, cause }) => [outcome, cause?.code])).to.deep.equal([
        ['failed', 'aborted'],
      ]);
      expect(reply.body.attempts.map(({ outcome }) => outcome)).to.deep.equal(['cancelled']);
      const { metadata } = await server.settled(instance.metadata.id);
      expect(metadata.provisioningStatus).to.equal('error');
      expect(metadata.provisioningStatusDetail?.message).to.equal('The task was aborted by admin.');
    });

    it('tells how the machine is when a power verb was stopped short', async () => {
      const instance = await server.running('still-up');
      server.cloud.program({ verb: 'stopServer', error: 'transient', times: 1 });
      server.cloud.program({ verb: 'stopServer', delay: 60_000, times: 1 });
      const stop = await server.admin.post(`${instanceAddress(instance)}/stop`);
      const id = stop.headers.get('location')?.split('/').at(-1);
      await eventually(async () => (await server.task(id)).attempts.length === 2);
      await server.admin.post(`${address(id)}/abort`);
      expect(await server.ended(id)).to.include({ status: 'cancelled' });
      const { status, metadata } = await server.settled(instance.metadata.id);
      const machine = server.cloud.servers().find(({ id }) => id === instance.metadata.id);
      expect(status.powerState).to.equal(machine?.powerState).and.to.equal('Stopping');
      expect(metadata.provisioningStatus).to.equal('provisioned');
      expect(metadata.provisioningStatusDetail?.message).to.equal('The task was aborted by admin.');
    });

    it('repeated changes nothing; of a task that succeeded or failed it is 409', async () => {
      const { taskId } = await seeded('twice');
      await server.admin.post(`${address(taskId)}/abort`);
      const tag = (await server.admin.get(address(taskId))).headers.get('etag');
      expect((await server.admin.post(`${address(taskId)}/abort`)).status).to.equal(202);
      expect((await server.admin.get(address(taskId))).headers.get('etag')).to.equal(tag);
      const instance = await server.running('done');
      const { body } = await server.admin.get<Task[]>(`/api/v2/tasks?subjectID=${instance.metadata.id}`);
      await server.admin.refused('task_state_conflict', 'POST', `${address(body[0]?.id)}/abort`);
    });

    it('is for members of the project', async () => {
      const { taskId } = await seeded('not-yours');
      await member.api.refused('not_found', 'POST', `${address(taskId)}/abort`);
      expect(await server.task(taskId)).to.include({ status: 'inactive' });
    });
  });

  describe('POST /api/v2/tasks/{taskID}/restart', () => {
    const failed = async (name: string) => {
      server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
      const instance = await server.createInstance(name);
      await server.ended(instance.status.taskId);
      return instance;
    };

    it('runs a failed task again under its id, and tells who asked for it', async () => {
      const instance = await failed('again');
      const id = instance.status.taskId;
      const reply = await server.admin.post(`${address(id)}/restart`, undefined, {
        headers: { 'X-Request-Id': 'the-restart' },
      });
      expect(reply.status).to.equal(202);
      expect(reply.headers.get('location')).to.equal(server.url + address(id));
      const task = await server.ended(id);
      expect(task).to.include({ status: 'succeeded' }).and.not.to.have.property('cause');
      expect(task.attempts.map(({ number, outcome }) => [number, outcome])).to.deep.equal([
        [1, 'failed'],
        [2, 'succeeded'],
      ]);
      expect(task.restarts?.map(({ user, requestId }) => [user, requestId])).to.deep.equal([
        ['admin', 'the-restart'],
      ]);
      expect((await server.settled(instance.metadata.id)).metadata.provisioningStatus).to.equal(
        'provisioned',
      );
    });

    it('gives it the whole number of attempts once more', async () => {
      server.cloud.program({ verb: 'ensureServer', error: 'transient', times: 9 });
      const instance = await server.createInstance('series');
      const id = instance.status.taskId;
      expect((await server.ended(id)).attempts).to.have.length(5);
      await server.admin.post(`${address(id)}/restart`);
      const task = await server.ended(id);
      expect(task).to.include({ status: 'succeeded' });
      expect(task.attempts.map(({ number }) => number)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    });

    it('revives a cancelled task', async () => {
      const { taskId, instanceId } = await seeded('revived');
      await server.admin.post(`${address(taskId)}/abort`);
      expect((await server.admin.get<Instance>(`/api/v2/instances/${instanceId}`)).body.metadata).to.include({
        provisioningStatus: 'error',
      });
      expect((await server.admin.post(`${address(taskId)}/restart`)).status).to.equal(202);
      expect(await server.ended(taskId)).to.include({ status: 'succeeded', activated: true });
      expect((await server.settled(instanceId)).status.powerState).to.equal('Running');
    });

    it('once, when many ask at once; the others are told what is in the way', async () => {
      const instance = await failed('many');
      server.cloud.program({ verb: 'ensureServer', delay: 100, times: 1 });
      const id = instance.status.taskId;
      const replies = await Promise.all(
        Array.from({ length: 8 }, () => server.admin.post(`${address(id)}/restart`)),
      );
      expect(replies.filter(({ status }) => status === 202)).to.have.length(1);
      expect(replies.filter(({ status }) => status === 409)).to.have.length(7);
      expect((await server.ended(id)).attempts).to.have.length(2);
    });

    it('is refused for a task that did not fail, that makes no sense any more, and whose instance is gone', async () => {
      const instance = await server.running('healthy');
      const created = (await server.admin.get<Task[]>(`/api/v2/tasks?subjectID=${instance.metadata.id}`))
        .body[0];
      const told = await server.admin.refused(
        'task_state_conflict',
        'POST',
        `${address(created?.id)}/restart`,
      );
      expect(messageOf(told)).to.include('succeeded');

      server.cloud.program({ verb: 'rebootServer', error: 'terminal', times: 1 });
      const reboot = await server.admin.post(`${instanceAddress(instance)}/reboot`);
      const { id } = await server.ended(reboot.headers.get('location'));
      const stop = await server.admin.post(`${instanceAddress(instance)}/stop`);
      await server.ended(stop.headers.get('location'));
      await server.admin.refused('power_state_conflict', 'POST', `${address(id)}/restart`);

      server.cloud.program({ verb: 'startServer', delay: 60_000, times: 1 });
      const start = await server.admin.post(`${instanceAddress(instance)}/start`);
      const busy = await server.admin.refused('instance_busy', 'POST', `${address(id)}/restart`);
      expect(busy.body.blockedBy).to.equal(start.headers.get('location'));

      await server.deleteInstance(instance.metadata.id);
      await server.admin.refused('task_state_conflict', 'POST', `${address(id)}/restart`);
    });

    it('goes on with a deletion that failed', async () => {
      const instance = await server.running('undead');
      server.cloud.program({ verb: 'deleteServer', error: 'terminal', times: 1 });
      const reply = await server.admin.delete(instanceAddress(instance));
      const { id } = await server.ended(reply.headers.get('location'));
      await server.admin.post(`${address(id)}/restart`);
      expect(await server.ended(id)).to.include({ status: 'succeeded' });
      await server.admin.refused('not_found', 'GET', instanceAddress(instance));
    });
  });
});
