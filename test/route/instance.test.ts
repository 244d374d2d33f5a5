import { expect } from 'chai';
import { projects } from '../../src/data/project.js';
import { replace } from '../../src/data/store/port.js';
import type { Instance } from '../../src/model/instance.js';
import { addPerson, addProject, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const uuidv7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const path = '/api/v2/instances';

function names(instances: readonly Instance[]): string[] {
  return instances.map((instance) => instance.metadata.name);
}

describe('POST /api/v2/instances', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('answers 201 with the whole record, its address and the task that makes the machine', async () => {
    const begun = new Date().toISOString();
    const reply = await server.admin.post<Instance>(path, server.instanceBody('whole'));
    const { metadata, spec, status } = reply.body;
    expect(reply.status).to.equal(201);
    expect(reply.headers.get('location')).to.equal(`${server.url}${path}/${metadata.id}`);
    expect(metadata.id).to.match(uuidv7);
    expect(metadata.creationTime >= begun && metadata.creationTime <= new Date().toISOString()).to.be.true;
    expect(reply.body).to.deep.equal({
      metadata: {
        id: metadata.id,
        name: 'whole',
        creationTime: metadata.creationTime,
        createdBy: 'admin',
        provisioningStatus: 'pending',
        healthStatus: 'unknown',
        organizationId: server.catalog.organizationId,
        projectId: server.catalog.projectId,
      },
      spec: { flavorId: server.catalog.flavors['tiny'], imageId: server.catalog.images['sim-linux'] },
      status: {
        regionId: server.catalog.regionId,
        networkId: server.catalog.networkId,
        powerState: 'Pending',
        taskId: status.taskId,
        generation: 1,
        observedGeneration: 0,
      },
    });
    expect(spec).to.have.all.keys('flavorId', 'imageId');
    const task = await server.ended(status.taskId);
    expect(task).to.include({ type: 'instance.create', status: 'succeeded' });
  });

  it('leads to a provisioned, running and healthy instance with addresses and no task', async () => {
    const instance = await server.running('runs');
    expect(instance.metadata).to.include({ provisioningStatus: 'provisioned', healthStatus: 'healthy' });
    expect(instance.metadata).not.to.have.any.keys(
      'provisioningStatusDetail',
      'modifiedTime',
      'deletionTime',
    );
    expect(instance.status).to.have.all.keys(
      'regionId',
      'networkId',
      'powerState',
      'privateIP',
      'macAddress',
      'generation',
      'observedGeneration',
    );
    expect(instance.status.privateIP).to.match(/^10(\.\d{1,3}){3}$/);
    expect(instance.status.macAddress).to.match(/^52:54:00(:[0-9a-f]{2}){3}$/);
  });

  it('makes the machine that was wished: host name, flavor and image, known by the id of the instance', async () => {
    const { metadata, spec } = await server.running('wished', {
      spec: { flavorId: server.catalog.flavors['medium'], imageId: server.catalog.images['sim-large'] },
    });
    const machine = server.cloud.servers().find((one) => one.id === metadata.id);
    expect(machine).to.include({
      hostname: 'wished',
      flavorId: spec.flavorId,
      imageId: spec.imageId,
      boots: 1,
    });
  });

  it('takes organization, project and network by name of their ids, with or without the region', async () => {
    const { organizationId, projectId, networkId, regionId } = server.catalog;
    for (const [name, region] of [
      ['named', { regionId: undefined }],
      ['named-region', { regionId }],
    ] as const) {
      const instance = await server.createInstance(name, {
        spec: { organizationId, projectId, networkId, ...region },
      });
      expect(instance.metadata).to.include({ organizationId, projectId });
      expect(instance.status).to.include({ networkId, regionId });
    }
  });

  it('keeps description and tags, and shows userData to nobody', async () => {
    const tags = [
      { name: 'purpose', value: 'proof' },
      { name: 'empty', value: '' },
    ];
    const userData = Buffer.from('#cloud-config\npassword: secret\n').toString('base64');
    const instance = await server.createInstance('told', {
      metadata: { description: 'Ünïcode 🌲', tags },
      spec: { userData },
    });
    const { text, body } = await server.admin.get<Instance>(`${path}/${instance.metadata.id}`);
    expect(body.metadata).to.deep.include({ description: 'Ünïcode 🌲', tags });
    expect(text).not.to.include(userData).and.not.to.include('userData');
    const listed = await server.admin.get(path);
    expect(listed.text).not.to.include(userData).and.not.to.include('userData');
    const stored = await server.app.connector.instances.load(instance.metadata.id);
    expect(stored?.value.userData).to.equal(userData);
  });

  it('lets two projects use one name, and one project only once', async () => {
    const other = await addProject(server.app, {
      name: 'other',
      organizationId: server.catalog.organizationId,
    });
    await server.createInstance('twice');
    await server.createInstance('twice', { spec: { projectId: other.id } });
    const refused = await server.admin.refused('name_taken', 'POST', path, {
      body: server.instanceBody('twice'),
    });
    expect(refused.body.errors).to.deep.equal([{ pointer: '/metadata/name', message: refused.body.message }]);
    expect(refused.body.message).to.include('"twice"');
  });

  it('stores nothing of a create that it refuses', async () => {
    const before = (await server.admin.get<Instance[]>(`${path}?limit=1000`)).body.length;
    const tasks = (await server.admin.get<unknown[]>('/api/v2/tasks?limit=1000')).body.length;
    await server.createInstance('kept');
    await server.admin.refused('name_taken', 'POST', path, { body: server.instanceBody('kept') });
    expect((await server.admin.get<Instance[]>(`${path}?limit=1000`)).body).to.have.length(before + 1);
    expect((await server.admin.get<unknown[]>('/api/v2/tasks?limit=1000')).body).to.have.length(tasks + 1);
  });

  it('accepts just one of twenty creates of one name at a time', async () => {
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => server.admin.post(path, server.instanceBody('raced'))),
    );
    const statuses = replies.map((reply) => reply.status).sort((a, b) => a - b);
    expect(statuses).to.deep.equal([201, ...Array<number>(19).fill(409)]);
  });

  it('asks for the network or the region when both are left out', async () => {
    const body = server.instanceBody('nowhere', { spec: { regionId: undefined } });
    const reply = await server.admin.refused('invalid_body', 'POST', path, { body });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/networkId');
  });

  it('names every kind of networking that no region offers, and takes what asks for nothing', async () => {
    const networking = {
      securityGroups: [server.catalog.networkId],
      publicIP: true,
      allowedSourceAddresses: ['10.0.0.0/8'],
    };
    const body = server.instanceBody('networked', { spec: { networking } });
    const reply = await server.admin.refused('unprocessable', 'POST', path, { body });
    expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal([
      '/spec/networking/securityGroups',
      '/spec/networking/publicIP',
      '/spec/networking/allowedSourceAddresses',
    ]);
    await server.createInstance('plain', { spec: { networking: { publicIP: false, securityGroups: [] } } });
  });

  it('takes no new work for a disabled project', async () => {
    const person = await addPerson(server.app, 'disabled-member');
    await addProject(server.app, { name: 'asleep', members: [person], enabled: false });
    const reply = await person.api.refused('forbidden', 'POST', path, { body: server.instanceBody('never') });
    expect(reply.body.message).to.include('"asleep"');
  });

  it('heeds at once into how many projects a caller who names none has come', async () => {
    const person = await addPerson(server.app, 'mover');
    const project = (name: string) => addProject(server.app, { name, members: [person] });
    await person.api.refused('invalid_body', 'POST', path, { body: server.instanceBody('too-early') });
    const first = await project('mover-first');
    const made = await server.createInstance('moved-1', {}, person.api);
    expect(made.metadata.projectId).to.equal(first.id);
    await project('mover-second');
    await person.api.refused('invalid_body', 'POST', path, { body: server.instanceBody('which') });
    const { store } = server.app;
    const found = await store.get(projects, first.id);
    if (found === undefined) throw new Error('no project');
    await store.write([replace(projects, found, { ...found.value, members: [] })]);
    const moved = await server.createInstance('moved-2', {}, person.api);
    expect(moved.metadata.projectId).not.to.equal(first.id);
  });
});

describe('GET /api/v2/instances', () => {
  let server: TestServer;
  let blue: SeededProject;
  let green: SeededProject;

  const find = async (query: string) => names((await server.admin.get<Instance[]>(`${path}${query}`)).body);

  before(async () => {
    server = await startServer();
    blue = await addProject(server.app, { name: 'blue' });
    green = await addProject(server.app, { name: 'green' });
    const tag = (text: string) => {
      const [name = '', ...value] = text.split('=');
      return { name, value: value.join('=') };
    };
    const seeds: [string, string | undefined, string[]][] = [
      ['one', undefined, ['tier=web', 'zone=a']],
      ['two', blue.id, ['tier=web']],
      ['three', green.id, ['tier=db', 'zone=a', 'query=a=b', 'blank=']],
      ['four', blue.id, []],
    ];
    for (const [name, projectId, tags] of seeds) {
      await server.running(name, { metadata: { tags: tags.map(tag) }, spec: { projectId } });
    }
  });
  after(() => server.stop());

  it('lists all for a superuser, by id, which is oldest first', async () => {
    const { body } = await server.admin.get<Instance[]>(path);
    expect(names(body)).to.deep.equal(['one', 'two', 'three', 'four']);
    const ids = body.map((instance) => instance.metadata.id);
    expect(ids).to.deep.equal([...ids].sort());
  });

  it('shows each instance exactly as GET of that instance does', async () => {
    const { body } = await server.admin.get<Instance[]>(path);
    for (const instance of body) {
      const one = await server.admin.get<Instance>(`${path}/${instance.metadata.id}`);
      expect(one.body).to.deep.equal(instance);
    }
  });

  it('takes the values of one parameter as alternatives', async () => {
    expect(await find(`?projectID=${blue.id}`)).to.deep.equal(['two', 'four']);
    expect(await find(`?projectID=${blue.id}&projectID=${green.id}`)).to.deep.equal(['two', 'three', 'four']);
    expect(
      await find(`?organizationID=${blue.organizationId}&organizationID=${green.organizationId}`),
    ).to.have.length(3);
    expect(await find(`?networkID=${server.catalog.networkId}`)).to.deep.equal(['one']);
    expect(await find(`?regionID=${server.catalog.regionId}`)).to.have.length(4);
  });

  it('takes different parameters as conditions that must all hold', async () => {
    expect(await find(`?projectID=${blue.id}&organizationID=${green.organizationId}`)).to.deep.equal([]);
    expect(await find(`?projectID=${blue.id}&tag=tier%3Dweb`)).to.deep.equal(['two']);
  });

  it('finds nothing, as an array, for ids that do not exist', async () => {
    for (const parameter of ['organizationID', 'projectID', 'regionID', 'networkID']) {
      expect(await find(`?${parameter}=0193a5c0-0000-7000-8000-000000000001`), parameter).to.deep.equal([]);
    }
  });

  it('finds by tags, of which all must be there', async () => {
    expect(await find('?tag=tier=web')).to.deep.equal(['one', 'two']);
    expect(await find('?tag=tier=web&tag=zone=a')).to.deep.equal(['one']);
    expect(await find('?tag=tier=web&tag=tier=db')).to.deep.equal([]);
    expect(await find('?tag=tier%3Dw')).to.deep.equal([]);
    expect(await find('?tag=Tier%3Dweb')).to.deep.equal([]);
  });

  it('finds tag values that are empty or hold further equals signs', async () => {
    expect(await find('?tag=query=a=b')).to.deep.equal(['three']);
    expect(await find('?tag=blank%3D')).to.deep.equal(['three']);
    await server.admin.refused('invalid_parameter', 'GET', `${path}?tag=blank`);
    await server.admin.refused('invalid_parameter', 'GET', `${path}?tag=%3Dvalue`);
  });

  it('answers HEAD like GET, without a body', async () => {
    const head = await server.admin.call('HEAD', path);
    const get = await server.admin.get(path);
    expect(head.status).to.equal(200);
    expect(head.text).to.equal('');
    expect(head.headers.get('content-type')).to.equal(get.headers.get('content-type'));
    expect(head.headers.get('link')).to.equal(get.headers.get('link'));
  });
});

describe('GET /api/v2/instances/{instanceID}', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('shows an instance from the moment that its create was answered', async () => {
    const created = await server.createInstance('seen');
    const { status, body } = await server.admin.get<Instance>(`${path}/${created.metadata.id}`);
    expect(status).to.equal(200);
    expect(body.metadata).to.include({ id: created.metadata.id, name: 'seen', createdBy: 'admin' });
  });

  it('refuses the id in capitals, which names nothing here', async () => {
    const { metadata } = await server.createInstance('capitals');
    const reply = await server.admin.get(`${path}/${metadata.id.toUpperCase()}`);
    expect(reply.status).to.equal(400);
  });

  it('does not know an absent one', async () => {
    const reply = await server.admin.refused(
      'not_found',
      'GET',
      `${path}/0193a5c0-0000-7000-8000-000000000001`,
    );
    expect(reply.body.message).to.equal('There is no such resource, or you may not see it.');
  });
});
