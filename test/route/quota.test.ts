/** What a project may use: set, charged, released, and never exceeded. */
import { expect } from 'chai';
import fc from 'fast-check';
import { instances } from '../../src/data/instance.js';
import type { Instance } from '../../src/model/instance.js';
import type { Quota, QuotaLimits } from '../../src/model/quota.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/instances';

describe('the quota of a project', () => {
  let server: TestServer;
  let member: Person;
  let projectId: string;
  let count = 0;
  const address = (id = projectId) => `/api/v2/projects/${id}/quota`;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    member = await addPerson(server.app, 'quota-member');
  });
  after(() => server.stop());
  beforeEach(async () => {
    count += 1;
    projectId = (await addProject(server.app, { name: `quota-${count}`, members: [member] })).id;
  });

  const quota = async (api = member.api) => {
    const reply = await api.get<Quota>(address());
    expect(reply.status).to.equal(200);
    return reply.body;
  };
  const limit = async (limits: QuotaLimits) => {
    const reply = await server.admin.put<Quota>(address(), { limits });
    expect(reply.status, reply.text).to.equal(200);
    return reply.body;
  };
  const make = (name: string, flavor = 'tiny') =>
    server.running(name, { spec: { projectId, flavorId: server.catalog.flavors[flavor] } }, member.api);
  const bodyOf = (name: string, flavor = 'tiny') =>
    server.instanceBody(name, { spec: { projectId, flavorId: server.catalog.flavors[flavor] } });
  const unlimited = { instances: 0, cpus: 0, memory: 0, disk: 0, snapshots: 0 };

  it('has no limits at first, and shows what is used all the same', async () => {
    expect(await quota()).to.deep.equal({ projectId, limits: {}, used: unlimited });
    await make('one');
    const { used } = await quota();
    expect(used.instances).to.equal(1);
    expect(used.cpus).to.be.above(0);
    expect(used.memory).to.be.above(0);
    expect(used.disk).to.be.above(0);
  });

  it('counts what there was before the limits, and refuses what is beyond them with what is left', async () => {
    const first = await make('first');
    const { used } = await quota();
    const set = await limit({ instances: 2, cpus: 64, snapshots: 5 });
    expect(set).to.deep.equal({ projectId, limits: { instances: 2, cpus: 64, snapshots: 5 }, used });
    expect(await quota()).to.deep.equal(set);
    const second = await make('second');
    const reply = await member.api.refused('quota_exceeded', 'POST', path, { body: bodyOf('third') });
    expect(reply.status).to.equal(403);
    expect(reply.body.errors?.[0]?.message).to.equal('instances: 1 more needed, but 0 of 2 left.');
    expect(await find('third')).to.deep.equal([]);
    for (const { metadata } of [first, second]) await server.deleteInstance(metadata.id);
    expect((await quota()).used).to.deep.equal(unlimited);
    await make('fourth');
  });

  const find = async (name: string) => (await member.api.get<Instance[]>(`${path}?name=${name}`)).body;

  it('refuses a limit below what is used, by its name, and takes what is just enough', async () => {
    await make('stays', 'medium');
    await limit({});
    const { used } = await quota();
    const reply = await server.admin.refused('unprocessable', 'PUT', address(), {
      body: { limits: { instances: 0, cpus: used.cpus, memory: used.memory - 1 } },
    });
    expect(reply.body.errors).to.deep.equal([
      { pointer: '/limits/instances', message: 'instances: 1 in use; the limit cannot be lower.' },
      { pointer: '/limits/memory', message: `memory: ${used.memory} in use; the limit cannot be lower.` },
    ]);
    expect((await quota()).limits).to.deep.equal({});
    await limit(used);
    await member.api.refused('quota_exceeded', 'POST', path, { body: bodyOf('beyond') });
    await limit({});
    await make('beyond');
  });

  it('is for superusers to set, and for members to see', async () => {
    const body = { limits: { instances: 1 } };
    await member.api.refused('not_found', 'PUT', address(), { body });
    const stranger = await addPerson(server.app, `quota-stranger-${count}`);
    await stranger.api.refused('not_found', 'GET', address());
    const absent = '0193a5c0-0000-7000-8000-000000000001';
    await server.admin.refused('not_found', 'PUT', address(absent), { body });
    for (const limits of [{ instances: -1 }, { cpus: 1.5 }, { memory: '1' }, { gpus: 1 }, null])
      await server.admin.refused('invalid_body', 'PUT', address(), { body: { limits } });
    await server.admin.refused('invalid_body', 'PUT', address(), { body: {} });
  });

  it('leaves a record of each change of the limits in the audit trail', async () => {
    await limit({ cpus: 8 });
    await limit({ cpus: 8 });
    await limit({ cpus: 9 });
    const { body } = await server.admin.get<{ action: string; before: unknown; after: unknown }[]>(
      `/api/v2/admin/events?type=quota&resourceID=${projectId}`,
    );
    expect(body.map(({ action, before, after }) => [action, before, after])).to.deep.equal([
      ['quota.update', {}, { cpus: 8 }],
      ['quota.update', { cpus: 8 }, { cpus: 9 }],
    ]);
  });

  it('charges a larger flavor when the change is accepted, and refuses one that does not fit', async () => {
    const { metadata, spec } = await make('grows');
    await limit({});
    const { used } = await quota();
    const flavorId = server.catalog.flavors['medium'] ?? '';
    const change = { spec: { flavorId } };
    const resize = `${path}/${metadata.id}?allowReplace=true`;
    await limit({ cpus: used.cpus, memory: used.memory, disk: used.disk });
    await member.api.refused('quota_exceeded', 'PATCH', resize, { body: change });
    expect((await member.api.get<Instance>(`${path}/${metadata.id}`)).body.spec.flavorId).to.equal(
      spec.flavorId,
    );
    expect((await quota()).used).to.deep.equal(used);
    await limit({});
    expect((await member.api.patch(resize, change)).status).to.equal(202);
    const grown = (await quota()).used;
    expect(grown.memory).to.be.above(used.memory);
    await server.settled(metadata.id);
    expect((await member.api.patch(resize, { spec: { flavorId: spec.flavorId } })).status).to.equal(202);
    await server.settled(metadata.id);
    expect((await quota()).used).to.deep.equal(used);
  });

  it('stays as it is when a plan is made', async () => {
    await limit({ instances: 1 });
    const plan = await member.api.post(`${path}?dryRun=true`, bodyOf('planned'));
    expect(plan.status, plan.text).to.equal(200);
    expect((await quota()).used.instances).to.equal(0);
    await make('real');
    await member.api.refused('quota_exceeded', 'POST', `${path}?dryRun=true`, { body: bodyOf('planned') });
  });

  it('costs nothing where there are no limits: neither the project nor a quota is written', async () => {
    const { store } = server.app;
    const written: string[] = [];
    const unwatch = store.watch((collection) => written.push(collection));
    const { metadata } = await server.createInstance('free', { spec: { projectId } }, member.api);
    unwatch();
    expect(written).not.to.include.oneOf(['projects', 'quotas']);
    expect((await store.get(instances, metadata.id))?.value).not.to.have.property('charged');
  });

  it('goes away with its project', async () => {
    await limit({ instances: 3 });
    expect((await server.admin.delete(`/api/v2/projects/${projectId}`)).status).to.equal(204);
    await server.admin.refused('not_found', 'PUT', address(), { body: { limits: {} } });
  });

  /** What is charged for the instances that there are. */
  async function chargedInAll(): Promise<number> {
    const query = { order: 'id', filter: { project_id: projectId }, limit: 1000 };
    const found = await server.app.store.page(instances, query);
    return found.reduce((total, { value }) => total + (value.charged?.instances ?? 0), 0);
  }

  it('is never exceeded, and is exact in the end, however many create, replace and delete at once', async () => {
    const act = fc.record({
      kind: fc.constantFrom('create', 'create', 'delete', 'replace', 'limit'),
      flavor: fc.constantFrom('tiny', 'medium'),
      index: fc.nat({ max: 9 }),
    });
    let runs = 0;
    const rounds = fc.array(fc.array(act, { minLength: 2, maxLength: 6 }), { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(rounds, fc.integer({ min: 1, max: 4 }), async (groups, most) => {
        runs += 1;
        projectId = (await addProject(server.app, { name: `run-${runs}`, members: [member] })).id;
        let made = 0;
        const ids: string[] = [];
        const carryOut = async ({ kind, flavor, index }: { kind: string; flavor: string; index: number }) => {
          const id = ids[index % Math.max(1, ids.length)];
          if (kind === 'create') {
            made += 1;
            const reply = await member.api.post<Instance>(path, bodyOf(`i-${made}`, flavor));
            if (reply.status === 201) ids.push(reply.body.metadata.id);
            else expect(reply.body).to.include({ code: 'quota_exceeded' });
          } else if (kind === 'limit') {
            const reply = await server.admin.put(address(), { limits: { instances: most, cpus: 2 * most } });
            expect(reply.status).to.be.oneOf([200, 422]);
          } else if (id !== undefined && kind === 'delete') {
            expect((await member.api.delete(`${path}/${id}`)).status).to.be.oneOf([202, 404]);
          } else if (id !== undefined) {
            const change = { spec: { flavorId: server.catalog.flavors[flavor] } };
            const reply = await member.api.patch(`${path}/${id}?allowReplace=true`, change);
            expect(reply.status, reply.text).to.be.oneOf([202, 403, 404, 409]);
          }
        };
        for (const group of groups) {
          await Promise.all(group.map(carryOut));
          const { limits, used } = await quota();
          expect(used.instances).to.be.at.most(limits.instances ?? Infinity);
          expect(used.cpus).to.be.at.most(limits.cpus ?? Infinity);
        }
        await eventually(async () => {
          const { body } = await member.api.get<Instance[]>(`${path}?projectID=${projectId}`);
          return body.every(({ status }) => status.taskId === undefined) ? body : undefined;
        });
        await limit({});
        const kept = await quota();
        expect(await chargedInAll()).to.equal(kept.used.instances);
        for (const id of ids) await server.deleteInstance(id);
        expect((await quota()).used).to.deep.equal(unlimited);
      }),
      { numRuns: 8 },
    );
  }).timeout(60_000);
});
