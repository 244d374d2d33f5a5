/** Lists that are remembered between two writes: never older than the last write, and never another caller's. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Type } from 'typebox';
import { collections } from '../../../src/data/connector.js';
import { instances } from '../../../src/data/instance.js';
import { projects } from '../../../src/data/project.js';
import { insert, remove, replace } from '../../../src/data/store/port.js';
import type { Instance } from '../../../src/model/instance.js';
import { RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { ResponseCache } from '../../../src/route/pipeline/response-cache.js';
import { type Answer, JsonText } from '../../../src/route/pipeline/response.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import { openStore } from '../../../src/site/stores.js';
import { eventually } from '../../support/eventually.js';
import { addPerson, addProject } from '../../support/people.js';
import { instanceRecord } from '../../support/rows.js';
import { startServer, type TestServer } from '../../support/server.js';
import { onMongo } from '../../support/store.js';

const path = '/api/v2/instances';

describe('cacheable answers', () => {
  let server: TestServer;
  let dataDir: string;
  let made = 0;

  const counted: Route = {
    route: '/counted',
    version: 2,
    methods: [
      {
        methodType: 'GET',
        authenticator: new RequireUserAuthenticator(),
        requestHandler: defineHandler(
          {
            operationId: 'getCounted',
            summary: 'How often it was made',
            tags: ['things'],
            cacheable: true,
            query: Type.Object({ a: Type.Optional(Type.Integer()) }, { additionalProperties: false }),
            responses: { 200: { description: 'The number.', schema: Type.Array(Type.Integer()) } },
          },
          {
            parse: () => undefined,
            execute: () => {
              made += 1;
              return { result: new JsonText(Buffer.from(`[${made}]`)) };
            },
          },
        ),
      },
    ],
  };

  before(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'copse-test-'));
    server = await startServer({ dataDir, flags: { store: 'sqlite:copse.sqlite' }, extraRoutes: [counted] });
  });
  after(async () => {
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const number = async (api = server.admin, query = '') =>
    (await api.get<number[]>(`/api/v2/counted${query}`)).body[0];

  it('are made once for each caller and address while nobody writes', async function () {
    // Writes of other processes on MongoDB can only be noticed by asking, so nothing is cached there.
    if (onMongo) {
      process.stdout.write('!!! SKIPPED: nothing is cached on MongoDB\n');
      this.skip();
    }
    const { api } = await addPerson(server.app, 'other');
    // The server's own regular jobs write too.
    await eventually(
      async () => {
        const [first, others, query] = [
          await number(),
          await number(api),
          await number(server.admin, '?a=1'),
        ];
        const again = [await number(), await number(api), await number(server.admin, '?a=1')];
        expect(new Set([first, others, query]).size).to.equal(3);
        return again.join() === [first, others, query].join() ? true : undefined;
      },
      { what: 'three answers to be told twice' },
    );
  });

  it('are not told to who may not have them, nor for what is not asked rightly', async () => {
    await number();
    await number();
    const before = made;
    const headers = { Authorization: 'Bearer nobody-has-a-key-like-this-0123456789' };
    await server.admin.refused('unauthorized', 'GET', '/api/v2/counted', { headers });
    await server.admin.refused('invalid_parameter', 'GET', '/api/v2/counted?b=1');
    await server.admin.refused('invalid_parameter', 'GET', '/api/v2/counted?b=1');
    expect(made).to.equal(before);
  });

  it('are made anew after any write, of this process and of another', async () => {
    const other = await openStore(server.config.store, dataDir, collections);
    try {
      const { projectId, networkId } = server.catalog;
      for (let round = 0; round < 20; round += 1) {
        const id = `0193a5c0-0000-7000-8000-${String(round).padStart(12, '0')}`;
        const record = instanceRecord({ name: `kept-${round}`, projectId, networkId });
        const store = round % 2 === 0 ? server.app.store : other;
        const listed = async () =>
          (await server.admin.get<Instance[]>(path)).body.map(({ metadata }) => metadata.name);
        expect(await listed()).not.to.include(record.name);
        await store.write([insert(instances, id, record)]);
        expect(await listed()).to.include(record.name);
        const document = await store.get(instances, id);
        if (document === undefined) throw new Error('not there');
        await store.write([replace(instances, document, { ...record, name: `later-${round}` })]);
        expect(await listed()).to.include(`later-${round}`);
        const renamed = await store.get(instances, id);
        if (renamed === undefined) throw new Error('not there');
        await store.write([remove(instances, renamed)]);
        expect(await listed()).not.to.include(`later-${round}`);
      }
    } finally {
      await other.close();
    }
  });

  it('are no longer served to a member who has been removed, by whichever process', async () => {
    const other = await openStore(server.config.store, dataDir, collections);
    try {
      for (const [name, store] of [
        ['left-here', server.app.store],
        ['left-there', other],
      ] as const) {
        const person = await addPerson(server.app, name);
        const project = await addProject(server.app, { name, members: [person] });
        const [networkId = ''] = project.networkIds;
        const id = `0193a5c0-0000-7000-8000-${name.length.toString().padStart(12, '7')}`;
        await store.write([
          insert(instances, id, instanceRecord({ name, projectId: project.id, networkId })),
        ]);
        expect((await person.api.get<Instance[]>(path)).body).to.have.length(1);
        expect((await person.api.get<Instance[]>(path)).body).to.have.length(1);
        const found = await store.get(projects, project.id);
        if (found === undefined) throw new Error('not there');
        await store.write([replace(projects, found, { ...found.value, members: [] })]);
        expect((await person.api.get<Instance[]>(path)).body).to.have.length(0);
      }
    } finally {
      await other.close();
    }
  });

  it('are none when no pages are', async () => {
    const plain = await startServer({ flags: { cache: { pages: 0 } }, extraRoutes: [counted] });
    try {
      const first = await number(plain.admin);
      expect(await number(plain.admin)).to.equal((first ?? NaN) + 1);
    } finally {
      await plain.stop();
    }
  });
});

describe('the response cache', () => {
  const u = { id: '1', name: 'u', superUser: false };
  const v = { id: '2', name: 'v', superUser: false };
  const limit = 64_000;
  let version = 0;
  let cache: ResponseCache;
  const answer = (bytes = 2): Answer => ({
    status: 200,
    headers: { Link: '<x>' },
    body: Buffer.alloc(bytes),
  });
  /** As the pipeline asks for an answer that takes no time; whether it had to be made. */
  const isMade = (address: string, bytes = 2) => {
    if (cache.get(u, address) !== undefined) return false;
    cache.put(u, address, answer(bytes), version);
    return true;
  };
  const isMadeFor = (times: number, address: string, bytes?: number) =>
    Array.from({ length: times }, () => isMade(address, bytes));

  beforeEach(() => {
    cache = new ResponseCache(limit, () => version);
  });

  it('has an answer as it was, for the same caller at the same address, until the version is another', () => {
    const given = answer();
    for (const time of [1, 2]) {
      expect(cache.get(u, '/a'), `before ${time}`).to.equal(undefined);
      cache.put(u, '/a', given, version);
    }
    expect(cache.get(u, '/a')).to.equal(given);
    expect(cache.get(v, '/a')).to.equal(undefined);
    expect(cache.get({ ...u, superUser: true }, '/a')).to.equal(undefined);
    expect(cache.get(undefined, '/a')).to.equal(undefined);
    expect(cache.get(u, '/b')).to.equal(undefined);
    version += 1;
    expect(cache.get(u, '/a')).to.equal(undefined);
  });

  it('takes what is asked for the second time, and remembers the demand beyond a write', () => {
    expect(isMadeFor(4, '/a')).to.deep.equal([true, true, false, false]);
    version += 1;
    expect(isMadeFor(3, '/a')).to.deep.equal([true, false, false]);
    expect(isMadeFor(3, '/b')).to.deep.equal([true, true, false]);
  });

  it('takes no answer during whose making something was written, and none of an older version', () => {
    isMadeFor(2, '/a');
    const older = version;
    version += 1;
    for (let time = 0; time < 3; time += 1) cache.put(u, '/b', answer(), older);
    expect(cache.get(u, '/b')).to.equal(undefined);
    expect(isMadeFor(3, '/c')).to.deep.equal([true, true, false]);
    expect(cache.get(u, '/a')).to.equal(undefined);
  });

  it('takes no huge answer, and nothing more when it is full, until something is written', () => {
    expect(isMadeFor(4, '/huge', limit / 32)).to.deep.equal([true, true, true, true]);
    const addresses = Array.from({ length: 100 }, (_, index) => `/page/${index}`);
    const walk = () => addresses.filter((address) => isMade(address, 900));
    expect(walk()).to.have.length(100);
    expect(walk()).to.have.length(100);
    for (let time = 0; time < 3; time += 1) expect(walk()).to.deep.equal(addresses.slice(33));
    expect(isMadeFor(3, '/late', 900)).to.deep.equal([true, true, true]);
    version += 1;
    expect(isMadeFor(2, '/late', 900)).to.deep.equal([true, false]);
  });
});
