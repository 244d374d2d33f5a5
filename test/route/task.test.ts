import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('GET /api/v2/tasks', () => {
  let server: TestServer;
  let first: Instance;
  let second: Instance;

  const find = async (query: string) => (await server.admin.get<Task[]>(`/api/v2/tasks${query}`)).body;
  const types = async (query: string) => (await find(query)).map((task) => task.type);

  before(async () => {
    server = await startServer();
    first = await server.running('first');
    second = await server.running('second');
    const reply = await server.admin.post(`/api/v2/instances/${second.metadata.id}/stop`);
    await server.ended(reply.headers.get('location'));
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const third = await server.createInstance('third');
    await server.ended(third.status.taskId);
  });
  after(() => server.stop());

  it('lists all tasks, oldest first, each as GET of that task shows it', async () => {
    const all = await find('');
    expect(all.map((task) => [task.type, task.subject?.name, task.status])).to.deep.equal([
      ['instance.create', 'first', 'succeeded'],
      ['instance.create', 'second', 'succeeded'],
      ['instance.stop', 'second', 'succeeded'],
      ['instance.create', 'third', 'failed'],
    ]);
    for (const task of all) {
      expect((await server.admin.get<Task>(`/api/v2/tasks/${task.id}`)).body).to.deep.equal(task);
    }
  });

  it('filters by subject, type, status and project: alternatives within one, all of them together', async () => {
    const { projectId } = server.catalog;
    expect(await types(`?subjectID=${second.metadata.id}`)).to.deep.equal([
      'instance.create',
      'instance.stop',
    ]);
    expect(await types(`?subjectID=${first.metadata.id}&subjectID=${second.metadata.id}`)).to.have.length(3);
    expect(await types('?type=instance.stop')).to.deep.equal(['instance.stop']);
    expect(await types('?type=instance.stop&type=instance.create')).to.have.length(4);
    expect(await types('?status=failed')).to.deep.equal(['instance.create']);
    expect(
      await types(`?subjectID=${second.metadata.id}&type=instance.create&status=succeeded`),
    ).to.have.length(1);
    expect(await types(`?subjectID=${first.metadata.id}&status=failed`)).to.deep.equal([]);
    expect(await types(`?projectID=${projectId}`)).to.have.length(4);
    expect(await types('?projectID=0193a5c0-0000-7000-8000-000000000001')).to.deep.equal([]);
  });

  it('names the choices when a type or status is none of them', async () => {
    const reply = await server.admin.refused('invalid_parameter', 'GET', '/api/v2/tasks?type=instance.dance');
    expect(reply.body.message).to.include('instance.create').and.to.include('instance.reboot');
    const other = await server.admin.refused('invalid_parameter', 'GET', '/api/v2/tasks?status=done');
    expect(other.body.message).to.include('succeeded').and.to.include('cancelled');
  });

  it('shows a member only the tasks of their own projects', async () => {
    const member = await addPerson(server.app, 'task-member');
    const project = await addProject(server.app, { name: 'tasked', members: [member] });
    expect((await member.api.get<Task[]>('/api/v2/tasks')).body).to.deep.equal([]);
    const mine = await server.running('mine', {}, member.api);
    const { body } = await member.api.get<Task[]>('/api/v2/tasks');
    expect(body.map((task) => task.projectId)).to.deep.equal([project.id]);
    expect(body[0]?.subject).to.deep.equal({ type: 'instance', id: mine.metadata.id, name: 'mine' });
    expect(
      (await member.api.get<Task[]>(`/api/v2/tasks?projectID=${server.catalog.projectId}`)).body,
    ).to.deep.equal([]);
  });
});

describe('GET /api/v2/tasks of a time and a requester', () => {
  let server: TestServer;
  let member: Person;

  before(async () => {
    server = await startServer();
    member = await addPerson(server.app, 'member');
    await addProject(server.app, { name: 'theirs', members: [member] });
  });
  after(() => server.stop());

  it('filters by time of creation and requester, and pages within both, in either direction', async () => {
    const mark = async (name: string) => {
      const { status } = await server.createInstance(name, {}, member.api);
      return server.ended(status.taskId);
    };
    const made: Task[] = [];
    for (const name of ['t1', 't2', 't3', 't4']) made.push(await mark(name));
    const [first, second, , last] = made;
    const window = `createdAfter=${second?.creationTime ?? ''}&createdBefore=${last?.creationTime ?? ''}`;
    const within = async (query: string) =>
      (await server.admin.get<Task[]>(`/api/v2/tasks?${query}`)).body.map((task) => task.subject?.name);
    expect(await within(`requester=member&${window}`)).to.deep.equal(['t2', 't3']);
    expect(await within(`requester=member&${window}&descending=true`)).to.deep.equal(['t3', 't2']);
    expect(await within(`requester=member&createdAfter=${first?.creationTime ?? ''}&limit=1`)).to.deep.equal([
      't1',
    ]);
    expect(await within('requester=nobody')).to.deep.equal([]);
    const page = await server.admin.get<Task[]>(`/api/v2/tasks?requester=member&${window}&limit=1`);
    const next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
    const two = await server.admin.get<Task[]>(next);
    expect(two.body.map((task) => task.subject?.name)).to.deep.equal(['t3']);
    expect(two.headers.get('link')).to.include('rel="prev"').and.not.to.include('rel="next"');
    for (const time of ['yesterday', '2026-01-01', '2026-01-01T00:00:60Z'])
      await server.admin.refused('invalid_parameter', 'GET', `/api/v2/tasks?createdAfter=${time}`);
  });
});

describe('GET /api/v2/tasks/{taskID}', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('tells what ran, for whom, how often, in which steps and when', async () => {
    const created = await server.admin.post<Instance>('/api/v2/instances', server.instanceBody('told'), {
      headers: { 'X-Request-Id': 'the-id-that-the-client-chose' },
    });
    const task = await server.ended(created.body.status.taskId);
    const times = [task.creationTime, task.startTime, task.attempts[0]?.startTime, task.steps[0]?.startTime];
    const ends = [task.steps[0]?.endTime, task.attempts[0]?.endTime, task.endTime];
    expect([...times, ...ends].map((time) => Date.parse(time ?? ''))).to.satisfy((all: number[]) =>
      all.every((time, index) => index === 0 || time >= (all[index - 1] ?? Infinity) - 1),
    );
    expect(task).to.deep.equal({
      id: created.body.status.taskId,
      type: 'instance.create',
      status: 'succeeded',
      activated: true,
      priority: 0,
      subject: { type: 'instance', id: created.body.metadata.id, name: 'told' },
      organizationId: server.catalog.organizationId,
      projectId: server.catalog.projectId,
      regionId: server.catalog.regionId,
      requester: { user: 'admin', requestId: 'the-id-that-the-client-chose' },
      creationTime: task.creationTime,
      startTime: task.startTime,
      endTime: task.endTime,
      attempts: [{ number: 1, startTime: times[2], endTime: ends[1], outcome: 'succeeded' }],
      steps: [
        { name: 'ensureServer', attempt: 1, startTime: times[3], endTime: ends[0], outcome: 'succeeded' },
      ],
    });
  });

  it('shows a running task with its open attempt and step', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const { status, metadata } = await server.createInstance('slow');
    let task = await server.task(status.taskId);
    while (task.steps.length === 0) task = await server.task(status.taskId);
    expect(task.status).to.equal('running');
    expect(task.attempts).to.have.length(1);
    expect(task.attempts[0]).to.have.all.keys('number', 'startTime');
    expect(task.steps[0]).to.have.all.keys('name', 'attempt', 'startTime');
    const { body } = await server.admin.get<Instance>(`/api/v2/instances/${metadata.id}`);
    expect(body.metadata.provisioningStatus).to.equal('provisioning');
    await server.deleteInstance(metadata.id);
  });

  it('does not show what the task was given to do, nor the lease of its process', async () => {
    const { status } = await server.createInstance('private');
    const { text } = await server.admin.get(`/api/v2/tasks/${status.taskId ?? ''}`);
    for (const member of ['input', 'owner', 'token', 'leaseUntil', 'queue', 'pid'])
      expect(text).not.to.include(`"${member}"`);
  });

  it('is still there when its instance is gone', async () => {
    const instance = await server.running('mortal');
    const reply = await server.admin.delete(`/api/v2/instances/${instance.metadata.id}`);
    await server.ended(reply.headers.get('location'));
    const { body } = await server.admin.get<Task>(reply.headers.get('location') ?? '');
    expect(body).to.include({ type: 'instance.delete', status: 'succeeded' });
    expect(body.subject?.name).to.equal('mortal');
  });

  it('does not know an absent one', async () => {
    await server.admin.refused('not_found', 'GET', '/api/v2/tasks/0193a5c0-0000-7000-8000-000000000001');
  });
});
