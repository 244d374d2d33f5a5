/** `?dryRun=true`: what a change of an instance would do, and that it does nothing. */
import { expect } from 'chai';
import { idempotency } from '../../src/data/idempotency-claim.js';
import { keyTallies } from '../../src/data/key-limit.js';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { Instance } from '../../src/model/instance.js';
import type { ApiKeySpec } from '../../src/model/key-limits.js';
import type { Plan } from '../../src/model/plan.js';
import type { Task } from '../../src/model/task.js';
import { Api, type CallOptions } from '../support/conform.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('a plan of a change of an instance', () => {
  let server: TestServer;
  let person: Person;
  let project: SeededProject;

  const all = '/api/v2/instances';
  const at = ({ metadata }: Instance, rest = '') => `${all}/${metadata.id}${rest}`;
  const pointers = ({ changes }: Plan) => changes.map(({ pointer }) => pointer);

  /** All that a request can leave behind. */
  async function traces(): Promise<unknown> {
    const { store } = server.app;
    const counts = [idempotency, keyTallies].map((collection) => store.count(collection, {}));
    return { log: await store.changeRange(), counts: await Promise.all(counts) };
  }

  /** The plan, of which nothing is left behind. */
  async function planned(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    options: CallOptions = {},
    api = server.admin,
  ): Promise<Plan> {
    const before = await traces();
    const reply = await api.call<Plan>(
      method,
      `${path}${path.includes('?') ? '&' : '?'}dryRun=true`,
      options,
    );
    expect(reply.status, reply.text).to.equal(200);
    expect(reply.headers.get('cache-control')).to.equal('no-store');
    expect(reply.headers.has('location')).to.be.false;
    expect(await traces()).to.deep.equal(before);
    return reply.body;
  }

  async function limited(spec: ApiKeySpec): Promise<Api> {
    const body = { metadata: { name: `key-${(count += 1)}` }, spec };
    const reply = await person.api.post<NewApiKey>(`/api/v2/users/${person.id}/apikeys`, body);
    expect(reply.status, reply.text).to.equal(201);
    return Api.withKey(server.url, reply.body.key);
  }
  let count = 0;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    person = await addPerson(server.app, 'planner');
    project = await addProject(server.app, { name: 'planned', admins: [person] });
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('of a create says what would be made, and makes nothing', async () => {
    const tags = [{ name: 'a', value: '1' }];
    const body = server.instanceBody('imagined', { metadata: { tags } });
    const plan = await planned('POST', all, { body, headers: { 'Idempotency-Key': 'dry' } });
    expect(plan).to.deep.include({
      action: 'create',
      taskType: 'instance.create',
      restarts: false,
      destroys: false,
    });
    expect(plan).not.to.have.any.keys('instanceId', 'planId', 'quota');
    expect(plan.changes).to.deep.include({ pointer: '/metadata/name', to: 'imagined' });
    expect(plan.changes).to.deep.include({ pointer: '/metadata/tags', to: tags });
    expect(plan.changes).to.deep.include({ pointer: '/spec/flavorId', to: body.spec.flavorId });
    // The key is as good as new.
    const made = await server.admin.call('POST', all, { body, headers: { 'Idempotency-Key': 'dry' } });
    expect(made.status, made.text).to.equal(201);
  });

  it('of an update tells each member that changes, from and to', async () => {
    const instance = await server.running('changed', { metadata: { description: 'old' } });
    const patch = { metadata: { description: 'new', tags: [{ name: 'b', value: '2' }] } };
    const plan = await planned('PATCH', at(instance), { body: patch });
    expect(plan).to.include({
      action: 'update',
      instanceId: instance.metadata.id,
      restarts: false,
      destroys: false,
    });
    expect(plan).not.to.have.property('taskType');
    expect(plan.changes).to.have.deep.members([
      { pointer: '/metadata/description', from: 'old', to: 'new' },
      { pointer: '/metadata/tags', to: patch.metadata.tags },
    ]);
    const none = await planned('PATCH', at(instance), { body: { metadata: { description: 'old' } } });
    expect(none).to.deep.include({ action: 'none', changes: [] });
    const put = { metadata: { name: 'changed' }, spec: instance.spec };
    const cleared = await planned('PUT', at(instance), { body: put });
    expect(cleared.changes).to.deep.equal([{ pointer: '/metadata/description', from: 'old' }]);
  });

  it('of another image says that the disk is lost and the guest restarted', async () => {
    const instance = await server.running('wiped');
    const imageId = server.catalog.images['sim-linux-next'];
    const body = { spec: { imageId } };
    const plan = await planned('PATCH', at(instance, '?allowReplace=true'), { body });
    expect(plan).to.include({
      action: 'replace',
      taskType: 'instance.replace',
      restarts: true,
      destroys: true,
    });
    expect(plan.changes).to.deep.include({
      pointer: '/spec/imageId',
      from: instance.spec.imageId,
      to: imageId,
    });
    expect(server.cloud.history(instance.metadata.id)).to.have.length(1);
  });

  it('of a verb or a delete says what happens to the guest', async () => {
    const instance = await server.running('verbs');
    const stop = await planned('POST', at(instance, '/stop'));
    expect(stop).to.include({ action: 'stop', taskType: 'instance.stop', restarts: false, destroys: false });
    expect(stop.changes).to.deep.equal([{ pointer: '/status/powerState', from: 'Running', to: 'Stopping' }]);
    const reboot = await planned('POST', at(instance, '/reboot?hard=true'));
    expect(reboot).to.include({ action: 'reboot', restarts: true, destroys: false });
    const gone = await planned('DELETE', at(instance));
    expect(gone).to.include({
      action: 'delete',
      taskType: 'instance.delete',
      restarts: false,
      destroys: true,
    });
    expect(pointers(gone)).to.deep.equal(['/metadata/provisioningStatus']);
    expect((await server.admin.get<Instance>(at(instance))).body).to.deep.equal(instance);
    expect(
      (await server.admin.get<Task[]>(`/api/v2/tasks?subjectID=${instance.metadata.id}`)).body,
    ).to.have.length(1);
  });

  it('of another expiry is a plan, too', async () => {
    const instance = await server.running('extended');
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const plan = await planned('POST', at(instance, '/extend_expiration'), { body: { expiresAt } });
    expect(plan.changes).to.deep.equal([{ pointer: '/spec/expiresAt', to: expiresAt }]);
  });

  it('is none while the same task is already in progress', async () => {
    const instance = await server.running('shared');
    server.cloud.program({ verb: 'stopServer', delay: 60_000, times: 1 });
    await server.admin.post(at(instance, '/stop'));
    const reply = await server.admin.call<Plan>('POST', at(instance, '/stop?dryRun=true'));
    expect(reply.body).to.deep.include({ action: 'none', instanceId: instance.metadata.id, changes: [] });
    await server.admin.refused('instance_busy', 'POST', at(instance, '/start?dryRun=true'));
    await server.deleteInstance(instance.metadata.id);
  });

  it('refuses what the change would refuse, and leaves as little', async () => {
    const instance = await server.running('refused');
    const before = await traces();
    const taken = server.instanceBody('refused');
    const { images } = server.catalog;
    const refusals: [string, 'POST' | 'PUT' | 'PATCH' | 'DELETE', string, unknown?][] = [
      ['name_taken', 'POST', all, taken],
      ['invalid_reference', 'POST', all, server.instanceBody('x', { spec: { imageId: project.id } })],
      ['not_found', 'POST', all, server.instanceBody('x', { spec: { projectId: instance.metadata.id } })],
      ['replace_required', 'PATCH', at(instance), { spec: { imageId: images['sim-linux-next'] } }],
      ['unprocessable', 'PATCH', at(instance), { metadata: { name: 'other' } }],
      ['power_state_conflict', 'POST', at(instance, '/start')],
      ['not_found', 'DELETE', `${all}/${project.id}`],
      ['invalid_body', 'PATCH', at(instance), { metadata: { tags: 1 } }],
    ];
    for (const [code, method, path, body] of refusals) {
      const options = body === undefined ? {} : { body };
      const dry = await server.admin.refused(code as 'not_found', method, `${path}?dryRun=true`, options);
      const real = await server.admin.refused(code as 'not_found', method, path, options);
      const [{ requestId: _one, ...told }, { requestId: _other, ...same }] = [dry.body, real.body];
      expect(told).to.deep.equal(same);
    }
    const stale = { headers: { 'If-Match': '"999"' } };
    await server.admin.refused('precondition_failed', 'DELETE', at(instance, '?dryRun=true'), stale);
    await server.admin.refused('invalid_parameter', 'DELETE', at(instance, '?dryRun=perhaps'));
    expect(await traces()).to.deep.equal(before);
  });

  it('can be confirmed with its id, once the same is asked for, until the instance changes', async () => {
    const instance = await server.running('confirmed');
    const { planId = '' } = await planned('POST', at(instance, '/stop'));
    const wrong = { reboot: at(instance, `/reboot?planID=${planId}`), stop: at(instance, '/stop?planID=x') };
    const other = await server.admin.refused('precondition_failed', 'POST', wrong.reboot);
    expect(other.body.errors?.[0]?.parameter).to.equal('planID');
    await server.admin.refused('invalid_parameter', 'POST', wrong.stop);
    const late = `${(Date.now() - 1000).toString(36)}.${planId.split('.')[1] ?? ''}`;
    await server.admin.refused('precondition_failed', 'POST', at(instance, `/stop?planID=${late}`));
    const forged = `${(Date.now() + 60_000).toString(36)}.${planId.split('.')[1] ?? ''}`;
    await server.admin.refused('precondition_failed', 'POST', at(instance, `/stop?planID=${forged}`));
    await server.admin.patch(at(instance), { metadata: { description: 'meanwhile' } });
    await server.admin.refused('precondition_failed', 'POST', at(instance, `/stop?planID=${planId}`));
    const again = await planned('POST', at(instance, '/stop'));
    const done = await server.admin.post(at(instance, `/stop?planID=${again.planId ?? ''}`));
    expect(done.status, done.text).to.equal(202);
    await server.ended(done.headers.get('location'));
  });

  it('is demanded of a key with requiresPlan before it stops, restarts, replaces or deletes', async () => {
    const api = await limited({ requiresPlan: true });
    const mine = { spec: { projectId: project.id } };
    const body = server.instanceBody('demanding', mine);
    const { body: made, text } = await api.post<Instance>(all, body);
    expect(made.metadata.name, text).to.equal('demanding');
    const instance = await server.settled(
      made.metadata.id,
      ({ status }) => status.powerState === 'Running',
      api,
    );
    const soon = new Date(Date.now() + 60_000).toISOString();
    const image = { spec: { imageId: server.catalog.images['sim-linux-next'] } };
    const demands: ['POST' | 'PATCH' | 'DELETE', string, unknown?][] = [
      ['POST', '/stop'],
      ['POST', '/reboot'],
      ['DELETE', ''],
      ['PATCH', '?allowReplace=true', image],
      ['PATCH', '', { spec: { expiresAt: soon } }],
    ];
    for (const [method, path, wish] of demands) {
      const options = wish === undefined ? {} : { body: wish };
      const reply = await api.refused('plan_required', method, at(instance, path), options);
      expect(reply.body.errors?.[0]?.parameter).to.equal('planID');
    }
    const described = await api.patch(at(instance), { metadata: { description: 'harmless' } });
    expect(described.status, described.text).to.equal(202);
    const foreign = await planned('DELETE', at(instance));
    await api.refused('precondition_failed', 'DELETE', at(instance, `?planID=${foreign.planId ?? ''}`));
    const { planId = '' } = await planned('DELETE', at(instance), {}, api);
    const gone = await api.delete(at(instance, `?planID=${planId}`));
    expect(gone.status, gone.text).to.equal(202);
    await server.ended(gone.headers.get('location'), api);
  });

  it('is also demanded before such a key restarts a task that failed', async () => {
    const api = await limited({ requiresPlan: true });
    const instance = await server.running('failing', { spec: { projectId: project.id } }, person.api);
    server.cloud.program({ verb: 'rebootServer', error: 'terminal', times: 1 });
    const failed = await person.api.post(at(instance, '/reboot'));
    const task = await server.ended(failed.headers.get('location'), person.api);
    expect(task.status).to.equal('failed');
    await api.refused('plan_required', 'POST', `/api/v2/tasks/${task.id}/restart`);
  });

  it('leaves no trace of a key that may make a number of instances', async () => {
    const api = await limited({ maxInstances: 1 });
    const body = server.instanceBody('numbered', { spec: { projectId: project.id } });
    for (let n = 0; n < 2; n += 1)
      expect(await planned('POST', all, { body }, api)).to.include({ action: 'create' });
    expect((await api.post(all, body)).status).to.equal(201);
    const more = server.instanceBody('numbered-more', { spec: { projectId: project.id } });
    await api.refused('forbidden', 'POST', `${all}?dryRun=true`, { body: more });
  });
});
