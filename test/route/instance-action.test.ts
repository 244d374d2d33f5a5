/** One verb for many instances. */
import { expect } from 'chai';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { InstanceActionPlan, InstanceActionResults } from '../../src/model/instance-action.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { Api } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('POST /api/v2/instances/actions', () => {
  const path = '/api/v2/instances/actions';
  let server: TestServer;
  let person: Person;
  let reader: Person;
  let project: SeededProject;
  let other: SeededProject;
  let web: Instance[];
  let lone: Instance;
  const tag = { name: 'tier', value: 'web' };

  const run = (name: string, tags: object[], of: SeededProject) =>
    server.running(name, { metadata: { tags }, spec: { projectId: of.id } }, person.api);
  const ids = (list: readonly Instance[]) => list.map(({ metadata }) => metadata.id);
  const stateOf = async ({ metadata }: Instance) =>
    (await server.admin.get<Instance>(`/api/v2/instances/${metadata.id}`)).body.status.powerState;
  const act = (body: object, api = person.api, query = '') =>
    api.post<InstanceActionResults>(path + query, body);
  const refused = (code: 'unprocessable' | 'forbidden' | 'not_found', body: object, api = person.api) =>
    api.refused(code, 'POST', path, { body });

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 }, tasks: { concurrency: 2 } } });
    person = await addPerson(server.app, 'many');
    reader = await addPerson(server.app, 'many-reader');
    project = await addProject(server.app, { name: 'many', admins: [person], readers: [reader] });
    other = await addProject(server.app, { name: 'other', admins: [person] });
    web = await Promise.all([1, 2, 3].map((n) => run(`web-${n}`, [tag], project)));
    lone = await run('lone', [], project);
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('gives each matching instance a task, and one more that ends when these have ended', async () => {
    server.cloud.program({ verb: 'stopServer', delay: 300, times: 3 });
    const reply = await act({ verb: 'stop', projectId: project.id, selector: { tags: [tag] } });
    expect(reply.status, reply.text).to.equal(202);
    const { taskId, results } = reply.body;
    expect(reply.headers.get('location')).to.equal(`${server.url}/api/v2/tasks/${taskId}`);
    expect(results.map(({ instanceId }) => instanceId)).to.have.members(ids(web));
    for (const result of results) expect(result).to.have.all.keys('instanceId', 'taskId');
    const { body: open } = await person.api.get<Task>(`/api/v2/tasks/${taskId}`);
    expect(open.status).to.be.oneOf(['pending', 'running']);
    expect(open.children).to.have.members(results.map((one) => one.taskId));
    const parent = await server.ended(taskId, person.api);
    expect(parent).to.include({ type: 'actions.follow', status: 'succeeded', projectId: project.id });
    expect(parent).not.to.have.property('subject');
    for (const one of results) {
      const child = await server.task(one.taskId);
      expect(child).to.include({ type: 'instance.stop', status: 'succeeded', parentId: taskId });
      expect(Date.parse(child.endTime ?? '')).to.be.at.most(Date.parse(parent.endTime ?? ''));
    }
    for (const instance of web) expect(await stateOf(instance)).to.equal('Stopped');
    expect(await stateOf(lone)).to.equal('Running');
  });

  it('tells which instances refuse, and acts on the others', async () => {
    const [first, ...rest] = web;
    const named = { ids: [...ids(web), lone.metadata.id, absentId] };
    const reply = await act({ verb: 'start', selector: named });
    expect(reply.status, reply.text).to.equal(202);
    const of = (id: string | undefined) => reply.body.results.find(({ instanceId }) => instanceId === id);
    expect(of(lone.metadata.id)?.error).to.deep.include({ code: 'power_state_conflict', retryable: false });
    expect(of(absentId)?.error?.code).to.equal('not_found');
    for (const { metadata } of [first, ...rest].filter((one) => one !== undefined))
      expect(of(metadata.id)).to.have.property('taskId');
    expect(await server.ended(reply.body.taskId)).to.include({ status: 'succeeded' });
  });

  it('does nothing when it is atomic and one refuses, or when all refuse', async () => {
    const before = await server.app.store.changeRange();
    const body = { verb: 'start', selector: { ids: [web[0]?.metadata.id, absentId] } };
    const all = await person.api.refused('actions_refused', 'POST', path, { body });
    expect(all.body.errors?.map(({ message }) => message.slice(0, 36))).to.have.members([
      web[0]?.metadata.id,
      absentId,
    ]);
    const atomic = { verb: 'stop', atomic: true, selector: { ids: [web[0]?.metadata.id, absentId] } };
    const one = await person.api.refused('actions_refused', 'POST', path, { body: atomic });
    expect(one.body.errors).to.have.length(1);
    expect(await server.app.store.changeRange()).to.deep.equal(before);
  });

  it('fails when one of its tasks fails, and says how many', async () => {
    server.cloud.program({
      verb: 'rebootServer',
      error: 'terminal',
      serverId: web[1]?.metadata.id ?? '',
      times: 1,
    });
    const reply = await act({ verb: 'reboot', hard: true, selector: { ids: ids(web) } });
    const parent = await server.ended(reply.body.taskId);
    expect(parent).to.include({ status: 'failed' });
    expect(parent.cause).to.deep.equal({
      code: 'children_failed',
      message: '1 of 3 tasks did not succeed; see `children`.',
      retryable: false,
    });
  });

  it('refuses a selector that matches nothing, or everything without saying so, or what cannot be', async () => {
    const p = { projectId: project.id };
    const faults: [string, object][] = [
      ['/selector', { verb: 'stop', ...p }],
      ['/selector', { verb: 'stop', ...p, selector: {} }],
      ['/selector', { verb: 'stop', ...p, selector: { tags: [{ name: 'no', value: 'such' }] } }],
      ['/selector', { verb: 'stop', ...p, selector: { status: ['error'] } }],
      ['/selector', { verb: 'stop', selector: { ids: [absentId] } }],
      ['/selector', { verb: 'stop', projectId: other.id, all: true }],
      ['/all', { verb: 'stop', ...p, selector: { status: ['provisioned'] } }],
      ['/hard', { verb: 'stop', hard: true, ...p, selector: { tags: [tag] } }],
    ];
    for (const [pointer, body] of faults) {
      const reply = await refused('unprocessable', body);
      expect(reply.body.errors?.[0]?.pointer, JSON.stringify(body)).to.equal(pointer);
    }
    for (const body of [{ verb: 'fly', all: true }, { all: true }, { verb: 'stop', selector: { ids: [] } }])
      await person.api.refused('invalid_body', 'POST', path, { body });
    const foreign = await run('elsewhere', [], other);
    const both = await refused('unprocessable', {
      verb: 'stop',
      selector: { ids: [...ids(web), foreign.metadata.id] },
    });
    expect(both.body.errors?.[0]?.pointer).to.equal('/selector/ids');
  });

  it('is for those who may operate, and shows nothing to others', async () => {
    await refused('forbidden', { verb: 'stop', selector: { ids: ids(web) } }, reader.api);
    const stranger = await addPerson(server.app, 'many-stranger');
    await refused('unprocessable', { verb: 'stop', selector: { ids: ids(web) } }, stranger.api);
    await refused('not_found', { verb: 'stop', projectId: project.id, all: true }, stranger.api);
    const made = async (spec: object) => {
      const metadata = { name: `many-${JSON.stringify(spec).length}` };
      const { body } = await person.api.post<NewApiKey>(`/api/v2/users/${person.id}/apikeys`, {
        metadata,
        spec,
      });
      return Api.withKey(server.url, body.key);
    };
    const starter = await made({ verbs: ['start'] });
    await refused('forbidden', { verb: 'stop', selector: { ids: ids(web) } }, starter);
    const tagged = await made({ tags: [tag] });
    const reply = await act({ verb: 'reboot', projectId: project.id, all: true }, tagged);
    expect(reply.body.results.map(({ instanceId }) => instanceId)).to.have.members(ids(web));
    await server.ended(reply.body.taskId);
  });

  it('can be planned, and confirmed by a key that must', async () => {
    const { body: key } = await person.api.post<NewApiKey>(`/api/v2/users/${person.id}/apikeys`, {
      metadata: { name: 'planning' },
      spec: { requiresPlan: true },
    });
    const api = Api.withKey(server.url, key.key);
    const body = { verb: 'stop', selector: { ids: [...ids(web), absentId] } };
    await api.refused('plan_required', 'POST', path, { body });
    const before = await server.app.store.changeRange();
    const plan = await api.post<InstanceActionPlan>(`${path}?dryRun=true`, body);
    expect(plan.status, plan.text).to.equal(200);
    expect(await server.app.store.changeRange()).to.deep.equal(before);
    const { planId = '', results } = plan.body;
    expect(results.map((one) => one.plan?.action ?? one.error?.code)).to.have.members([
      'stop',
      'stop',
      'stop',
      'not_found',
    ]);
    const more = { ...body, selector: { ids: [...ids(web), lone.metadata.id] } };
    await api.refused('precondition_failed', 'POST', `${path}?planID=${planId}`, { body: more });
    const done = await act(body, api, `?planID=${planId}`);
    expect(done.status, done.text).to.equal(202);
    await server.ended(done.body.taskId);
  });

  it('answers a repeat under the same Idempotency-Key the same, and shares tasks in progress', async () => {
    await Promise.all(ids(web).map((id) => server.settled(id)));
    server.cloud.program({ verb: 'startServer', delay: 500, times: 3 });
    const body = { verb: 'start', selector: { ids: ids(web) } };
    const keyed = { body, headers: { 'Idempotency-Key': 'many' } };
    const first = await person.api.call<InstanceActionResults>('POST', path, keyed);
    const again = await person.api.call<InstanceActionResults>('POST', path, keyed);
    expect(again.body).to.deep.equal(first.body);
    const shared = await act(body);
    expect(shared.body.results).to.deep.equal(first.body.results);
    expect(shared.body.taskId).not.to.equal(first.body.taskId);
    expect(await server.ended(first.body.taskId)).to.include({ status: 'succeeded' });
    expect(await server.ended(shared.body.taskId)).to.include({ status: 'succeeded' });
  });

  it('deletes many at once, as many as are allowed and no more', async () => {
    const crowd = await addProject(server.app, { name: 'crowd', admins: [person] });
    await Promise.all(
      Array.from({ length: 101 }, (_, n) =>
        server.createInstance(`c-${n}`, { spec: { projectId: crowd.id } }, person.api),
      ),
    );
    const tooMany = await refused('unprocessable', { verb: 'delete', projectId: crowd.id, all: true });
    expect(tooMany.body.message).to.include('more than 100');
    const { body: list } = await person.api.get<Instance[]>(
      `/api/v2/instances?projectID=${crowd.id}&limit=100`,
    );
    const reply = await act({ verb: 'delete', selector: { ids: ids(list) } });
    expect(reply.body.results).to.have.length(100);
    expect((await server.ended(reply.body.taskId)).status).to.equal('succeeded');
    await eventually(
      async () =>
        (await person.api.get<Instance[]>(`/api/v2/instances?projectID=${crowd.id}`)).body.length === 1,
    );
  }).timeout(60_000);
});
