/**
 * The same data on SQLite and on MongoDB: whatever is asked, both answer with the same bytes. The data are made by requests
 * on SQLite and copied, so that ids, times and the secret behind cursors are the same.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { copyStore } from '../../src/data/copy.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { openStore } from '../../src/site/stores.js';
import { dropDatabase, freshDatabase, mongoMissing, stopMongo } from '../support/mongo.js';
import { startServer, type TestServer } from '../support/server.js';

const publicUrl = 'http://copse.test';
/** Of the moment or of the connection, not of the data. */
const passing = new Set(['date', 'connection', 'keep-alive', 'ratelimit']);

const names = ['a', 'B', 'b', 'ä', 'é', 'z', 'Ω', '中', '𝒳', '\uFFFD'];

describe('SQLite and MongoDB with the same data', function () {
  this.timeout(120_000);
  let dataDir = '';
  let database: string | undefined;
  const servers: TestServer[] = [];
  let made: Instance[] = [];
  let tasks: Task[] = [];

  // Both see the same simulated cloud, in the folder: what is compared does not change meanwhile.
  const start = (store: string) =>
    startServer({
      dataDir,
      ownStore: true,
      flags: { store, server: { publicUrl }, tasks: { observe: 86_400 } },
    });

  before(async function () {
    const missing = mongoMissing();
    if (missing !== undefined) {
      process.stdout.write(`!!! SKIPPED, the answers of both engines: ${missing}\n`);
      this.skip();
    }
    dataDir = mkdtempSync(join(tmpdir(), 'copse-answers-'));
    const source = await start('sqlite:one.sqlite');
    try {
      [made, tasks] = await populate(source);
    } finally {
      await source.stop();
    }
    database = await freshDatabase();
    const from = await openStore('sqlite:one.sqlite', dataDir, collections);
    const to = await openStore(database, dataDir, collections);
    await copyStore(from, to, collections, () => undefined);
    await Promise.all([from.close(), to.close()]);
    for (const store of ['sqlite:one.sqlite', database]) servers.push(await start(store));
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    if (database !== undefined) await dropDatabase(database);
    await stopMongo();
    if (dataDir !== '') rmSync(dataDir, { recursive: true, force: true });
  });

  /** Asks both, and gives the answer, which is the same. */
  async function ask(path: string): Promise<{ status: number; text: string; links: string }> {
    const [one, other] = await Promise.all(
      servers.map(async ({ admin }) => {
        const { status, headers, text } = await admin.get(path, { headers: { 'X-Request-Id': 'same' } });
        return { status, text, headers: [...headers].filter(([name]) => !passing.has(name)) };
      }),
    );
    expect(other, path).to.deep.equal(one);
    if (one === undefined) throw new Error('no server');
    const links = one.headers.find(([name]) => name === 'link')?.[1] ?? '';
    return { status: one.status, text: one.text, links };
  }

  /** Asks page after page, to the end and back again; gives how many items there were, either way. */
  async function walk(path: string): Promise<number> {
    const counts = { next: 0, prev: 0 };
    let before = path;
    for (const rel of ['next', 'prev'] as const) {
      for (let at: string | undefined = before; at !== undefined;) {
        const { status, text, links } = await ask(at);
        expect(status, at).to.equal(200);
        counts[rel] += (JSON.parse(text) as unknown[]).length;
        before = at;
        at = new RegExp(`<${publicUrl}([^>]*)>; rel="${rel}"`).exec(links)?.[1];
      }
    }
    expect(counts.prev, `the way back of ${path}`).to.equal(counts.next);
    return counts.next;
  }

  it('answer every list alike, by each order and filter, page by page and back', async () => {
    const [first] = made;
    const {
      projectId = '',
      regionId = '',
      networkId = '',
    } = { ...first?.metadata, ...first?.spec, ...first?.status } as Record<string, string>;
    const filters = {
      instances: [
        '',
        'tag=parity=odd',
        'tag=parity=even&tag=name=b1',
        `projectID=${projectId}`,
        `regionID=${regionId}`,
        `networkID=${networkId}`,
        'status=provisioned',
        'status=error',
        'status=provisioned&status=error&tag=parity=odd',
        'tag=none=such',
      ],
      tasks: [
        '',
        'status=succeeded',
        'status=failed&status=cancelled',
        'type=instance.create',
        'type=instance.stop&type=instance.delete&status=succeeded',
        `subjectID=${first?.metadata.id ?? ''}`,
        'requester=admin',
        `projectID=${projectId}&type=instance.stop`,
        `createdAfter=${tasks[3]?.creationTime ?? ''}&createdBefore=${tasks[10]?.creationTime ?? ''}`,
      ],
    };
    const counts = new Map<string, number>();
    for (const [list, some] of Object.entries(filters)) {
      for (const filter of some) {
        for (const order of ['', ...(list === 'instances' ? ['sort=id', 'sort=name'] : [])]) {
          for (const direction of ['', 'descending=true']) {
            const query = [filter, order, direction, 'limit=7'].filter((part) => part !== '').join('&');
            const path = `/api/v2/${list}?${query}`;
            const count = await walk(path);
            expect(count, path).to.equal(counts.get(`${list} ${filter}`) ?? count);
            counts.set(`${list} ${filter}`, count);
          }
        }
      }
    }
    expect(counts.get('instances ')).to.equal(made.length);
    expect(counts.get('tasks ')).to.equal(tasks.length);
    const empty = [...counts].filter(([, count]) => count === 0).map(([what]) => what);
    expect(empty).to.deep.equal(['instances tag=none=such']);
  });

  it('answer alike for everything that can be named', async () => {
    const { organizationId, regionId } = servers[0]?.catalog ?? {};
    const organization = `/api/v1/organizations/${organizationId ?? ''}`;
    const paths = [
      ...made.map(({ metadata }) => `/api/v2/instances/${metadata.id}`),
      ...tasks.map(({ id }) => `/api/v2/tasks/${id}`),
      '/api/v2/projects',
      '/api/v2/networks',
      `${organization}/regions`,
      `${organization}/regions/${regionId ?? ''}/flavors`,
      `${organization}/regions/${regionId ?? ''}/images`,
      '/openapi.json',
    ];
    for (const path of paths) expect((await ask(path)).status, path).to.equal(200);
  });

  it('refuse alike', async () => {
    const { links } = await ask('/api/v2/instances?limit=7');
    const next = /<http:\/\/copse\.test([^>]*)>; rel="next"/.exec(links)?.[1] ?? '';
    const absent = '00000000-0000-7000-8000-000000000000';
    for (const [path, status] of [
      [`/api/v2/instances/${absent}`, 404],
      [`/api/v2/tasks/${absent}`, 404],
      ['/api/v2/instances/nonsense', 400],
      ['/api/v2/instances?limit=0', 400],
      ['/api/v2/instances?sort=age', 400],
      [`${next}&descending=true`, 400],
      [next.replace(/key=..../, 'key=AAAA'), 400],
      [`/api/v2/instances?projectID=${absent}`, 200],
    ] as const)
      expect((await ask(path)).status, path).to.equal(status);
  });
});

/** Instances of all sorts, and the tasks that they have led to. */
async function populate(server: TestServer): Promise<[Instance[], Task[]]> {
  const ids: string[] = [];
  for (const [index, name] of [...names, ...names.map((one) => `${one}1`)].entries()) {
    const tags = [
      { name: 'parity', value: index % 2 === 0 ? 'even' : 'odd' },
      { name: 'name', value: name },
    ];
    const metadata = { description: `${name}\u0000"\\ \u2028`, tags };
    const {
      metadata: { id },
    } = await server.running(`n-${'zyxwvutsrqponmlkjihg'[index] ?? ''}`, { metadata });
    ids.push(id);
  }
  const path = (id = '') => `/api/v2/instances/${id}`;
  for (const id of ids.slice(0, 6)) {
    const { headers } = await server.admin.post(`${path(id)}/stop`);
    await server.ended(headers.get('location'));
  }
  for (const id of ids.slice(-2)) await server.deleteInstance(id);
  server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 3 });
  const failed = await server.createInstance('n-failed', {
    metadata: { tags: [{ name: 'parity', value: 'odd' }] },
  });
  await server.settled(failed.metadata.id, ({ status }) => status.taskId === undefined);
  const instances = await server.admin.get<Instance[]>('/api/v2/instances?limit=1000');
  const tasks = await server.admin.get<Task[]>('/api/v2/tasks?limit=1000');
  return [instances.body, tasks.body];
}
