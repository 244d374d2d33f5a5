/** Limited API keys: what they may not do, on every route and in every list. */
import { expect } from 'chai';
import type { ApiKey, NewApiKey } from '../../src/model/api-key.js';
import type { Event } from '../../src/model/event.js';
import type { Instance } from '../../src/model/instance.js';
import type { ApiKeySpec } from '../../src/model/key-limits.js';
import type { Project } from '../../src/model/project.js';
import type { RecentTasks } from '../../src/model/status.js';
import type { Task } from '../../src/model/task.js';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import { addressOf, allRows } from '../../src/route/roles-page.js';
import { Api, type ErrorAnswer } from '../support/conform.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('limited API keys', () => {
  let server: TestServer;
  let person: Person;
  let red: SeededProject;
  let blue: SeededProject;
  let redOne: Instance;
  let blueOne: Instance;
  let tagged: Instance;
  const ci = { name: 'purpose', value: 'ci' };
  let count = 0;

  const keysOf = (id: string) => `/api/v2/users/${id}/apikeys`;

  async function made(spec: ApiKeySpec, api = person.api, userId = person.id): Promise<NewApiKey> {
    const name = `limited-${(count += 1)}`;
    const reply = await api.post<NewApiKey>(keysOf(userId), { metadata: { name }, spec });
    expect(reply.status, reply.text).to.equal(201);
    return reply.body;
  }

  async function limited(spec: ApiKeySpec, api = person.api, userId = person.id): Promise<Api> {
    return Api.withKey(server.url, (await made(spec, api, userId)).key);
  }

  async function adminId(): Promise<string> {
    return (await server.admin.get<{ metadata: { id: string } }>('/api/v2/user')).body.metadata.id;
  }

  const idsOf = async (api: Api, path: string) =>
    (await api.get<{ id?: string; metadata?: { id: string } }[]>(path)).body.map(
      ({ id, metadata }) => metadata?.id ?? id,
    );

  const pathOf = ({ metadata }: Instance) => `/api/v2/instances/${metadata.id}`;
  const named = (name: string, project: SeededProject, metadata = {}, spec = {}) =>
    server.instanceBody(name, { metadata, spec: { projectId: project.id, ...spec } });

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    person = await addPerson(server.app, 'limiter');
    red = await addProject(server.app, { name: 'red', admins: [person] });
    blue = await addProject(server.app, { name: 'blue', admins: [person] });
    redOne = await server.running('red-one', { spec: { projectId: red.id } }, person.api);
    blueOne = await server.running('blue-one', { spec: { projectId: blue.id } }, person.api);
    tagged = await server.running(
      'tagged',
      { metadata: { tags: [ci, { name: 'other', value: 'x' }] }, spec: { projectId: red.id } },
      person.api,
    );
  });
  after(() => server.stop());

  describe('as they are made', () => {
    it('show their limits again, in the response, alone and in the list', async () => {
      const spec: ApiKeySpec = {
        role: 'operator',
        verbs: ['create', 'delete'],
        projectIds: [red.id],
        tags: [ci],
        maxInstances: 2,
        lifetime: 3600,
      };
      const { metadata, ...rest } = await made(spec);
      expect(rest.spec).to.deep.equal(spec);
      const one = await person.api.get<ApiKey>(`${keysOf(person.id)}/${metadata.id}`);
      expect(one.body.spec).to.deep.equal(spec);
      const all = await person.api.get<ApiKey[]>(keysOf(person.id));
      expect(all.body.find((key) => key.metadata.id === metadata.id)?.spec).to.deep.equal(spec);
      expect(all.body.find((key) => key.metadata.id === person.keyId)).not.to.have.property('spec');
    });

    it('without any limit are not limited', async () => {
      const key = await made({});
      expect(key).not.to.have.property('spec');
      expect((await Api.withKey(server.url, key.key).get(keysOf(person.id))).status).to.equal(200);
    });

    it('refuse what is no limit, and a project that their creator does not see', async () => {
      const wrong: object[] = [
        { role: 'superuser' },
        { role: null },
        { verbs: ['fly'] },
        { verbs: ['stop', 'stop'] },
        { projectIds: [] },
        { projectIds: ['x'] },
        { tags: [] },
        { tags: [{ name: 'a' }] },
        { tags: [ci, ci] },
        { maxInstances: -1 },
        { maxInstances: 1.5 },
        { lifetime: 0 },
        { superUser: true },
        { limits: {} },
        { rights: ['administer'] },
      ];
      for (const spec of wrong) {
        const body = { metadata: { name: 'wrong' }, spec };
        await person.api.refused('invalid_body', 'POST', keysOf(person.id), { body });
      }
      const foreign = await addProject(server.app, { name: 'foreign' });
      for (const id of [foreign.id, absentId]) {
        const body = { metadata: { name: 'wrong' }, spec: { projectIds: [red.id, id] } };
        const reply = await person.api.refused('invalid_reference', 'POST', keysOf(person.id), { body });
        expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/projectIds/1');
      }
    });
  });

  describe('by role', () => {
    it('have no rights beyond it, nor beyond those of their user', async () => {
      const reader = await limited({ role: 'reader' });
      expect((await reader.get(pathOf(redOne))).status).to.equal(200);
      await reader.refused('forbidden', 'POST', `${pathOf(redOne)}/stop`);
      await reader.refused('forbidden', 'GET', `${pathOf(redOne)}/consoleoutput`);
      await reader.refused('forbidden', 'PATCH', `/api/v2/projects/${red.id}`, { body: {} });
      await reader.refused('forbidden', 'POST', '/api/v2/instances', { body: named('no', red) });
      const operator = await limited({ role: 'operator' });
      expect((await operator.get(`${pathOf(redOne)}/consoleoutput`)).status).to.equal(200);
      await operator.refused('forbidden', 'PATCH', `/api/v2/projects/${red.id}`, { body: {} });

      const weak = await addPerson(server.app, 'weak');
      const project = await addProject(server.app, { name: 'weak', readers: [weak] });
      const strong = await limited({ role: 'admin' }, weak.api, weak.id);
      await strong.refused('forbidden', 'PATCH', `/api/v2/projects/${project.id}`, { body: {} });
    });

    it('change nothing on any route, as reader of a superuser', async () => {
      const reader = await limited({ role: 'reader' }, server.admin, await adminId());
      const ids: Record<string, string> = {
        instanceID: redOne.metadata.id,
        projectID: red.id,
        organizationID: red.organizationId,
        userID: await adminId(),
      };
      const label = { metadata: { name: 'mine' }, spec: { projectId: red.id } };
      const labelled = await server.admin.post<{ metadata: { id: string } }>('/api/v2/labels', label);
      ids['labelID'] = labelled.body.metadata.id;
      // What decides about these is in their bodies.
      const bodies: Record<string, object> = {
        '/api/v2/instances': named('no', red),
        '/api/v2/instances/actions': { verb: 'stop', selector: { ids: [redOne.metadata.id] } },
        '/api/v2/labels': { ...label, metadata: { name: 'no' } },
        '/api/v2/images': {
          metadata: { name: 'no' },
          spec: {
            ...{ projectId: red.id, regionId: server.catalog.regionId },
            source: { type: 'upload', sizeBytes: 1, checksum: `sha256:${'0'.repeat(64)}` },
          },
        },
      };
      for (const row of allRows()) {
        const [, method, , guard, handler] = row;
        // A session has the limits of its key.
        if (handler.declaration.session !== undefined) continue;
        if (method === 'GET' || !guard.authenticator.needsUser) continue;
        const path = addressOf(row).replaceAll(/\{(\w+)\}/g, (_all, name: string) => ids[name] ?? absentId);
        const body = bodies[path] ?? {};
        const { status } = await reader.call<ErrorAnswer>(method, path, { body });
        expect(status, `${method} ${path}`).to.be.oneOf([403, 404]);
      }
    });

    it('have no power over the site, though their user is a superuser, but reach every project', async () => {
      const admin = await limited({ role: 'admin' }, server.admin, await adminId());
      for (const row of allRows()) {
        if (row[3].authenticator.name !== 'SuperUser') continue;
        const path = addressOf(row).replaceAll(/\{(\w+)\}/g, () => absentId);
        const options = row[1] === 'GET' ? {} : { body: {} };
        await admin.refused('not_found', row[1], path, options);
      }
      expect((await admin.get(pathOf(redOne))).status).to.equal(200);
      expect(await idsOf(admin, '/api/v2/instances')).to.include.members([
        redOne.metadata.id,
        blueOne.metadata.id,
      ]);
      const user = await admin.get<{ status: { superUser: boolean } }>('/api/v2/user');
      expect(user.body.status.superUser).to.be.false;
    });
  });

  describe('by verbs', () => {
    it('may do only these, besides reading', async () => {
      const api = await limited({ verbs: ['reboot'] });
      expect((await api.get(pathOf(redOne))).status).to.equal(200);
      const rebooted = await api.post(`${pathOf(redOne)}/reboot`);
      expect(rebooted.status).to.equal(202);
      await server.ended(rebooted.headers.get('location'), person.api);
      const refused: [string, string, object?][] = [
        ['POST', `${pathOf(redOne)}/stop`],
        ['POST', `${pathOf(redOne)}/start`],
        ['DELETE', pathOf(redOne)],
        ['PATCH', pathOf(redOne), { metadata: { description: 'x' } }],
        ['POST', `${pathOf(redOne)}/extend_expiration`, { hours: 1 }],
        ['POST', '/api/v2/instances', named('no', red)],
        ['GET', `${pathOf(redOne)}/consoleoutput`],
      ];
      for (const [method, path, body] of refused)
        await api.refused('forbidden', method, path, body === undefined ? {} : { body });
      const [task] = await idsOf(api, `/api/v2/tasks?subjectID=${redOne.metadata.id}`);
      await api.refused('forbidden', 'POST', `/api/v2/tasks/${task}/abort`);
      const none = await limited({ verbs: [] });
      expect((await none.get(pathOf(redOne))).status).to.equal(200);
      const refusal = await none.refused('forbidden', 'POST', `${pathOf(redOne)}/stop`);
      expect(refusal.body.message).to.include('"operate"');
    });

    it('do not wipe a machine without "delete"', async () => {
      const patch = { spec: { imageId: server.catalog.images['sim-linux-next'] } };
      const path = `${pathOf(redOne)}?allowReplace=true`;
      const update = await limited({ verbs: ['update'] });
      await update.refused('forbidden', 'PATCH', path, { body: patch });
      const described = await update.patch(pathOf(redOne), { metadata: { description: 'changed' } });
      expect(described.status, described.text).to.equal(202);
    });
  });

  describe('by projects', () => {
    it('see and use only these: instances, tasks, events, networks, lists and counts', async () => {
      const api = await limited({ projectIds: [red.id] });
      expect((await api.get(pathOf(redOne))).status).to.equal(200);
      await api.refused('not_found', 'GET', pathOf(blueOne));
      await api.refused('not_found', 'POST', `${pathOf(blueOne)}/stop`);
      await api.refused('not_found', 'GET', `/api/v2/projects/${blue.id}`);
      await api.refused('not_found', 'GET', `/api/v2/projects/${blue.id}/members`);
      await api.refused('not_found', 'GET', `/api/v2/networks/${blue.networkIds[0]}`);
      await api.refused('not_found', 'GET', `/api/v2/organizations/${blue.organizationId}`);
      await api.refused('not_found', 'GET', `/api/v1/organizations/${blue.organizationId}/regions`);
      await api.refused('not_found', 'POST', '/api/v2/instances', { body: named('no', blue) });
      expect(await idsOf(api, '/api/v2/projects')).to.deep.equal([red.id]);
      expect(await idsOf(api, '/api/v2/instances')).to.deep.equal([redOne.metadata.id, tagged.metadata.id]);
      expect(await idsOf(api, `/api/v2/instances?projectID=${blue.id}`)).to.deep.equal([]);
      const tasks = await api.get<Task[]>('/api/v2/tasks');
      expect(new Set(tasks.body.map(({ projectId }) => projectId))).to.deep.equal(new Set([red.id]));
      const [blueTask] = await idsOf(person.api, `/api/v2/tasks?subjectID=${blueOne.metadata.id}`);
      await api.refused('not_found', 'GET', `/api/v2/tasks/${blueTask}`);
      const events = await api.get<Event[]>('/api/v2/events?limit=1000');
      expect(new Set(events.body.map(({ projectId }) => projectId))).to.deep.equal(new Set([red.id]));
      const networks = await api.get<{ metadata: { projectId: string } }[]>('/api/v2/networks');
      expect(new Set(networks.body.map(({ metadata }) => metadata.projectId))).to.deep.equal(
        new Set([red.id]),
      );
      const [mine, all] = [
        await api.get<RecentTasks>('/api/v2/status/recent_tasks'),
        await person.api.get<RecentTasks>('/api/v2/status/recent_tasks'),
      ];
      expect(mine.body.total).to.equal(tasks.body.length).and.to.be.below(all.body.total);
    });

    it('need not name the project of a create if there is one only', async () => {
      const api = await limited({ projectIds: [blue.id] });
      const { metadata } = await server.createInstance('unnamed', {}, api);
      expect(metadata.projectId).to.equal(blue.id);
      await server.settled(metadata.id, undefined, person.api);
      await server.deleteInstance(metadata.id);
    });

    it('page through the projects in both directions', async () => {
      const api = await limited({ projectIds: [blue.id, red.id] });
      const first = await api.get<Project[]>('/api/v2/projects?limit=1');
      expect(first.body.map(({ metadata }) => metadata.id)).to.deep.equal([red.id]);
      const { next } = parsePaginationHeader(first.headers.get('link'));
      const second = await api.get<Project[]>(next?.url.slice(server.url.length) ?? '');
      expect(second.body.map(({ metadata }) => metadata.id)).to.deep.equal([blue.id]);
      const links = parsePaginationHeader(second.headers.get('link'));
      expect(links.next).to.be.undefined;
      const back = await api.get<Project[]>(links.prev?.url.slice(server.url.length) ?? '');
      expect(back.body).to.deep.equal(first.body);
    });

    it('of a superuser reach these projects only', async () => {
      const api = await limited({ projectIds: [red.id] }, server.admin, await adminId());
      expect(await idsOf(api, '/api/v2/projects')).to.deep.equal([red.id]);
      expect(await idsOf(api, '/api/v2/instances')).to.deep.equal([redOne.metadata.id, tagged.metadata.id]);
      await api.refused('not_found', 'GET', pathOf(blueOne));
      expect((await api.get(`/api/v2/organizations/${red.organizationId}`)).status).to.equal(200);
      await api.refused('not_found', 'GET', `/api/v2/organizations/${blue.organizationId}`);
    });
  });

  describe('by tags', () => {
    it('see and use only the instances that have them, and their tasks and events', async () => {
      const api = await limited({ tags: [ci] });
      expect((await api.get(pathOf(tagged))).status).to.equal(200);
      await api.refused('not_found', 'GET', pathOf(redOne));
      await api.refused('not_found', 'POST', `${pathOf(redOne)}/stop`);
      await api.refused('not_found', 'DELETE', pathOf(redOne));
      expect(await idsOf(api, '/api/v2/instances')).to.deep.equal([tagged.metadata.id]);
      expect(await idsOf(api, '/api/v2/instances?tag=other=y')).to.deep.equal([]);
      const tasks = await api.get<Task[]>('/api/v2/tasks');
      expect(tasks.body.map(({ subject }) => subject?.id)).to.deep.equal([tagged.metadata.id]);
      const [redTask] = await idsOf(person.api, `/api/v2/tasks?subjectID=${redOne.metadata.id}`);
      await api.refused('not_found', 'GET', `/api/v2/tasks/${redTask}`);
      expect(await idsOf(api, `/api/v2/tasks?subjectID=${redOne.metadata.id}`)).to.deep.equal([]);
      expect((await api.get(`/api/v2/tasks/${tasks.body[0]?.id}`)).status).to.equal(200);
      const recent = await api.get<RecentTasks>('/api/v2/status/recent_tasks?verbose=true');
      expect(recent.body.total).to.equal(1);
      const events = await api.get<Event[]>('/api/v2/events?limit=1000');
      expect(events.body).to.have.length.above(2);
      for (const { type, resourceId, resource } of events.body) {
        const about = type.startsWith('task.') ? (resource as Task).subject?.id : resourceId;
        expect(about).to.equal(tagged.metadata.id);
      }
      expect((await api.get<unknown[]>('/api/v2/status/drift')).body).to.deep.equal([]);
    });

    it('make and keep instances within them, and see the end of what they delete', async () => {
      const api = await limited({ tags: [ci] });
      const wrong = { name: 'purpose', value: 'other' };
      for (const tags of [undefined, [], [wrong]]) {
        const body = named('outside', red, tags === undefined ? {} : { tags });
        const reply = await api.refused('unprocessable', 'POST', '/api/v2/instances', { body });
        expect(reply.body.errors?.[0]?.pointer).to.equal('/metadata/tags');
      }
      const inside = { metadata: { tags: [ci] }, spec: { projectId: red.id } };
      const instance = await server.running('inside', inside, api);
      for (const tags of [null, [wrong]])
        await api.refused('unprocessable', 'PATCH', pathOf(instance), { body: { metadata: { tags } } });
      const put = { metadata: { name: 'inside' }, spec: instance.spec };
      await api.refused('unprocessable', 'PUT', pathOf(instance), { body: put });
      const from = (await api.get<Event[]>('/api/v2/events?limit=1000')).body.at(-1)?.id;
      const deleted = await api.delete(pathOf(instance));
      const task = await server.ended(deleted.headers.get('location'), api);
      expect(task.status).to.equal('succeeded');
      const types = (await api.get<Event[]>(`/api/v2/events?after=${from}`)).body.map(({ type }) => type);
      expect(types).to.include('instance.deleted');
    });
  });

  describe('and their user', () => {
    it('make no keys, change no people and no SSH keys, whatever else they may do', async () => {
      const { metadata, key } = await made({ role: 'admin' });
      const api = Api.withKey(server.url, key);
      const keys = keysOf(person.id);
      await api.refused('forbidden', 'POST', keys, { body: { metadata: { name: 'wider' } } });
      await api.refused('forbidden', 'POST', `${keys}/${metadata.id}/rotate`, { body: {} });
      await api.refused('forbidden', 'GET', keys);
      await api.refused('forbidden', 'GET', `${keys}/${metadata.id}`);
      await api.refused('forbidden', 'DELETE', `${keys}/${person.keyId}`);
      await api.refused('forbidden', 'GET', `/api/v2/users/${person.id}`);
      await api.refused('not_found', 'GET', `/api/v2/users/${absentId}`);
      await api.refused('forbidden', 'POST', '/api/v2/keys', { body: {} });
      await api.refused('forbidden', 'DELETE', '/api/v2/keys/any');
      expect((await api.get('/api/v2/user')).status).to.equal(200);
    });

    it('get no answer from the cache of another limit', async () => {
      const [all, blues, tags] = [
        person.api,
        await limited({ projectIds: [blue.id] }),
        await limited({ tags: [ci] }),
      ];
      for (let round = 0; round < 4; round += 1) {
        const seen = await Promise.all(
          [all, blues, tags].map((api) => idsOf(api, '/api/v2/instances?limit=500')),
        );
        expect(seen[0]).to.include.members([redOne.metadata.id, blueOne.metadata.id, tagged.metadata.id]);
        expect(seen[1]).to.deep.equal([blueOne.metadata.id]);
        expect(seen[2]).to.deep.equal([tagged.metadata.id]);
      }
    });

    it('get no answer that another of their keys has stored under the same Idempotency-Key', async () => {
      const headers = { 'Idempotency-Key': '"shared"' };
      const body = named('stored', red);
      expect((await person.api.post('/api/v2/instances', body, { headers })).status).to.equal(201);
      const api = await limited({ projectIds: [blue.id] });
      await api.refused('not_found', 'POST', '/api/v2/instances', { body, headers });
    });
  });
});
