/**
 * Every body of the OpenAPI document, with members that are not the client's to set: at each place of the body they are
 * refused by name, or have no effect. From the document.
 */
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { labels } from '../../src/data/label.js';
import { insert } from '../../src/data/store/port.js';
import { timestamp } from '../../src/model/common.js';
import { exampleIds } from '../../src/route/example.js';
import type { ErrorAnswer } from '../support/conform.js';
import { addPerson, addProject } from '../support/people.js';
import { seedTask } from '../support/rows.js';
import { startServer, type TestServer } from '../support/server.js';

type Json = Record<string, unknown>;

interface Operation {
  operationId: string;
  requestBody?: { content: Record<string, { example?: Json } | undefined> };
}

const methods = ['post', 'put', 'patch', 'delete'];
const marker = 'mass-assigned';
const markerId = '0193a5c0-aaaa-7000-8000-00000000beef';

/** Members that records have, and that no client sets. */
const injected: Json = {
  id: markerId,
  superUser: true,
  superUsers: [marker],
  role: 'superuser',
  roles: [marker],
  createdBy: marker,
  creationTime: '2001-01-01T00:00:00.000Z',
  modifiedBy: marker,
  hash: marker,
  key: marker,
  keyId: markerId,
  userId: markerId,
  owner: marker,
  admins: [markerId],
  members: [markerId],
  organizationId: markerId,
  projectId: markerId,
  revision: 99,
  wishRevision: 99,
  limits: { rights: [] },
  deletionTime: '2001-01-01T00:00:00.000Z',
  openTasks: [markerId],
  token: marker,
  secret: marker,
  [marker]: true,
  constructor: { prototype: { superUser: true } },
};

describe('members that are not the client’s to set', () => {
  let server: TestServer;
  const bodies: { where: string; method: string; path: string; example: Json }[] = [];

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    const { store, catalog } = { store: server.app.store, catalog: server.catalog };
    const person = await addPerson(server.app, 'someone');
    const project = await addProject(server.app, { name: 'of-someone', members: [person] });
    const { id: projectId, organizationId } = project;
    const place = { projectId, organizationId, regionId: catalog.regionId, name: 'kept' };
    const task = { projectId, organizationId, queue: 'inactive', activated: false } as const;
    const { instanceId, taskId } = await seedTask(store, task, place);
    const labelId = uuidv7();
    const made = { creationTime: timestamp(), createdBy: 'test' };
    await store.write([
      insert(labels, labelId, { name: 'kept', organizationId, projectId, properties: {}, ...made }),
    ]);
    const ids: Record<string, string> = {
      [exampleIds.organizationID]: organizationId,
      [exampleIds.projectID]: projectId,
      [exampleIds.instanceID]: instanceId,
      [exampleIds.taskID]: taskId,
      [exampleIds.userID]: person.id,
      [exampleIds.keyID]: person.keyId,
      [exampleIds.labelID]: labelId,
      [exampleIds.flavorID]: catalog.flavors['tiny'] ?? '',
      [exampleIds.imageID]: catalog.images['sim-linux'] ?? '',
    };
    const real = (text: string) =>
      Object.entries(ids).reduce((changed, [example, id]) => changed.replaceAll(example, id), text);
    const { body: document } = await server.admin.get<{ paths: Record<string, Record<string, Operation>> }>(
      '/openapi.json',
    );
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const method of methods) {
        const operation = operations[method];
        const example = operation?.requestBody?.content['application/json']?.example;
        if (operation === undefined || example === undefined) continue;
        const target = path.replaceAll(
          /\{(\w+)\}/g,
          (_whole, name: string) => (exampleIds as Record<string, string>)[name] ?? name,
        );
        bodies.push({
          where: `${method} ${path}`,
          method: method.toUpperCase(),
          path: real(target),
          example: JSON.parse(real(JSON.stringify(example))) as Json,
        });
      }
    }
  });
  after(() => server.stop());

  /** The places of a body that are objects, as paths of member names. */
  function placesOf(value: unknown, at: readonly string[] = []): (readonly string[])[] {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
    return [at, ...Object.entries(value).flatMap(([name, member]) => placesOf(member, [...at, name]))];
  }

  function withMember(value: Json, place: readonly string[], name: string, member: unknown): Json {
    const [first, ...rest] = place;
    // Not by assignment: `__proto__` and `constructor` are members like others.
    if (first === undefined) return Object.fromEntries([...Object.entries(value), [name, member]]);
    return { ...value, [first]: withMember(value[first] as Json, rest, name, member) };
  }

  const at = (value: Json, place: readonly string[]) =>
    place.reduce<unknown>((inner, name) => (inner as Json)[name], value) as Json;

  it('are refused by name, or have no effect, at each place of each body', async () => {
    expect(bodies.length).to.be.above(15);
    let refused = 0;
    for (const { where, method, path, example } of bodies) {
      for (const place of placesOf(example)) {
        for (const [name, member] of Object.entries(injected)) {
          if (name in at(example, place) && Object.hasOwn(at(example, place), name)) continue;
          const body = withMember(example, place, name, member);
          const pointer = `/${[...place, name].join('/')}`;
          const reply = await server.admin.call<ErrorAnswer>(method, path, { body });
          const what = `${where} ${pointer}: ${reply.status} ${reply.text}`;
          if (isChosenByClient(where, pointer)) continue;
          if (reply.status < 300) {
            expect(reply.text, what).not.to.include(marker);
            expect(reply.text, what).not.to.include(markerId);
            expect(reply.text, what).not.to.include('2001-01-01');
          } else {
            refused += 1;
            expect([400, 404, 409, 422], what).to.include(reply.status);
          }
        }
      }
    }
    expect(refused).to.be.above(500);
    // What was refused by the schema has not been done by half.
    const people = await server.admin.get(`/api/v2/users?limit=200`);
    const settings = await server.admin.get('/api/v2/admin/settings');
    for (const { text } of [people, settings]) expect(text).not.to.include(marker);
  }).timeout(120_000);

  /** What looks like one of these, but is the client's to choose. */
  function isChosenByClient(where: string, pointer: string): boolean {
    if (where === 'post /api/v2/subscriptions') return pointer === '/id';
    return where.includes('/labels') && pointer.startsWith('/spec/properties/');
  }
});
