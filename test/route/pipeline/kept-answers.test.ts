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
import { KeptAnswers } from '../../../src/route/pipeline/kept-answers.js';
import { type Answer, JsonText } from '../../../src/route/pipeline/response.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import { openStore } from '../../../src/site/stores.js';
import { eventually } from '../../support/eventually.js';
import { addPerson, addProject } from '../../support/people.js';
import { instanceRecord } from '../../support/rows.js';
import { startServer, type TestServer } from '../../support/server.js';
import { onMongo } from '../../support/store.js';

const path = '/api/v2/instances';

describe('answers that are kept', () => {
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
            stored: true,
            query: Type.Object({ a: Type.Optional(Type.Integer()) }, { additionalProperties: false }),
            responses: { 200: { description: 'The number.', schema: Type.Array(Type.Integer()) } },
          },
          {
            parse: () => undefined,
            execute: () => {
              made += 1;
              return { result: new JsonText(Buffer.from(`[${made}]`), true) };
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
    // MongoDB's writers elsewhere can only be noticed by asking, so nothing is kept there beyond a turn.
    if (onMongo) {
      process.stdout.write('!!! SKIPPED: nothing is kept on MongoDB\n');
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

  it('are no longer told to a member who has left, whoever removed him', async () => {
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

describe('the memory of answers', () => {
  const u = { id: '1', name: 'u', superUser: false };
  const v = { id: '2', name: 'v', superUser: false };
  let version = 0;
  const answer = (body: string | Buffer = Buffer.from('[]')): Answer => ({
    status: 200,
    headers: { Link: '<x>' },
    body,
    kept: true,
  });

  it('tells an answer as it was, to the same caller at the same address, until the version is another', () => {
    const kept = new KeptAnswers(() => version);
    const given = answer();
    kept.keep(u, '/a', given, version);
    expect(kept.get(u, '/a')).to.deep.include({ status: 200, headers: given.headers, body: given.body });
    expect(kept.get(v, '/a')).to.equal(undefined);
    expect(kept.get({ ...u, superUser: true }, '/a')).to.equal(undefined);
    expect(kept.get(undefined, '/a')).to.equal(undefined);
    expect(kept.get(u, '/b')).to.equal(undefined);
    version += 1;
    expect(kept.get(u, '/a')).to.equal(undefined);
  });

  it('keeps no answer during whose making something was written, and none of an older version', () => {
    const kept = new KeptAnswers(() => version);
    const older = version;
    kept.keep(u, '/a', answer(), version);
    version += 1;
    kept.keep(u, '/b', answer(), older);
    expect(kept.get(u, '/b')).to.equal(undefined);
    kept.keep(u, '/c', answer(), version);
    expect(kept.get(u, '/a')).to.equal(undefined);
    expect(kept.get(u, '/c')).not.to.equal(undefined);
  });

  it('keeps bytes alone that stay in memory anyway, and not more than a thousand', () => {
    const kept = new KeptAnswers(() => version);
    const { status, headers, body } = answer();
    kept.keep(u, '/passing', { status, headers, ...(body === undefined ? {} : { body }) }, version);
    expect(kept.get(u, '/passing')).to.equal(undefined);
    kept.keep(u, '/text', answer('[]'), version);
    expect(kept.get(u, '/text')).to.equal(undefined);
    const bodies = Array.from({ length: 1001 }, () => Buffer.from('[]'));
    for (const [index, body] of bodies.entries()) kept.keep(u, `/${index}`, answer(body), version);
    expect(kept.get(u, '/0')).to.equal(undefined);
    expect(kept.get(u, '/1000')).not.to.equal(undefined);
  });
});
