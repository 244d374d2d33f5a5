/**
 * From schema 1, the first release, to now. The fixture was written by the program of that release (commit dee20da) with
 * the answers that it gave.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { startApp } from '../../../src/app.js';
import { loadConfig, packageRoot } from '../../../src/config.js';
import { collections } from '../../../src/data/connector.js';
import { copyStore } from '../../../src/data/copy.js';
import { schema, schemaId } from '../../../src/data/migration/schema.js';
import { type CollectionSpec, insert } from '../../../src/data/store/port.js';
import { SqliteStore } from '../../../src/data/store/sqlite/sqlite.js';
import { openStore } from '../../../src/site/stores.js';
import { currentSchema, migrations } from '../../../src/data/migration/index.js';
import { schemaVersion } from '../../../src/data/store/sqlite/layout.js';
import { checkedFetch, learnDocument } from '../../support/conform.js';
import { failureOf } from '../../support/eventually.js';
import { RecordingLog } from '../../support/log.js';
import { dropDatabase, freshDatabase, mongoMissing, stopMongo } from '../../support/mongo.js';

const fixture = join(packageRoot(), 'test', 'fixtures', 'schema-1');
const key = 'test-key-0123456789-0123456789-0123456789';

interface Answer {
  path: string;
  status: number;
  etag: string | null;
  link: string | null;
  body?: unknown;
  code?: string;
}

const answers = JSON.parse(readFileSync(join(fixture, 'answers.json'), 'utf8')) as Answer[];

/** The tables and all that is in them. */
function contents(file: string): unknown {
  const database = new Database(file, { readonly: true });
  const tables = database
    .prepare(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('open_marks', 'sqlite_sequence')",
    )
    .pluck()
    .all() as string[];
  const rows = tables.map((name) => [name, database.prepare(`SELECT * FROM "${name}" ORDER BY 1, 2`).all()]);
  const indexes = database.prepare('SELECT name, sql FROM sqlite_master ORDER BY 1').all();
  database.close();
  return [rows, indexes];
}

/** What the simulated region's catalog has got since. */
const newNames = ['gpu', 'sim-nvidia'];

function withoutNews<T>(body: T): T {
  const isNew = (one: unknown) =>
    newNames.includes((one as { metadata?: { name?: string } }).metadata?.name ?? '');
  return Array.isArray(body) ? (body.filter((one) => !isNew(one)) as T) : body;
}

describe('a store of schema 1', function () {
  this.timeout(60_000);
  let dataDir: string;
  let file: string;

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'copse-schema-1-'));
    file = join(dataDir, 'copse.sqlite');
    for (const name of ['copse', 'simulated']) {
      const database = new Database(join(dataDir, `${name}.sqlite`));
      database.exec(readFileSync(join(fixture, `${name}.sql`), 'utf8'));
      database.close();
    }
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));
  after(stopMongo);

  async function serving(
    ask: (url: string) => Promise<void>,
    store = 'sqlite:copse.sqlite',
  ): Promise<RecordingLog> {
    const log = new RecordingLog();
    const config = loadConfig({
      environment: {},
      flags: {
        server: { port: 0, publicUrl: 'https://api.example.com' },
        dataDir,
        store,
        adminKey: key,
        regions: ['simulated'],
        tasks: { observe: 86_400 },
      },
    });
    const app = await startApp(config, { log });
    try {
      await learnDocument(app.url);
      await ask(app.url);
    } finally {
      await app.stop();
    }
    return log;
  }

  const headers = { Authorization: `Bearer ${key}` };

  /** All of it as it is, on MongoDB. */
  async function onMongoDb(): Promise<string> {
    const address = await freshDatabase();
    const [from, to] = [new SqliteStore(file, collections), await openStore(address, dataDir, collections)];
    // The first release kept no such document; to copy needs one.
    await from.write([insert(schema, schemaId, { version: 1 })]);
    await copyStore(from, to, collections, () => undefined);
    expect((await to.get(schema, schemaId))?.value.version).to.equal(1);
    await from.close();
    await to.close();
    return address;
  }

  async function comparing(store?: string): Promise<void> {
    const log = await serving(async (url) => {
      for (const { path, status, etag, link, body, code } of answers) {
        const answer = await checkedFetch(url + path, { headers });
        expect(answer.status, path).to.equal(status);
        // Lists of the catalog have got tags since.
        if (etag !== null) expect(answer.headers.get('etag'), path).to.equal(etag);
        expect(answer.headers.get('link'), path).to.equal(link);
        const told = withoutNews((await answer.json()) as { code?: string });
        if (body === undefined) expect(told.code, path).to.equal(code);
        else expect(told, path).to.deep.equal(body);
      }
    }, store);
    expect(log.defects()).to.deep.equal([]);
    expect(log.entries.map(({ message }) => message)).to.include('migrated the store');
  }

  it('answers everything as the program that wrote it', () => comparing());

  it('answers alike when it lies on MongoDB', async function () {
    const missing = mongoMissing();
    if (missing !== undefined) {
      process.stdout.write(`!!! SKIPPED, schema 1 on MongoDB: ${missing}\n`);
      this.skip();
    }
    const address = await onMongoDb();
    await comparing(address);
    await dropDatabase(address);
  });

  it('is found by what schema 2 adds, follows page keys of before, and repeats kept answers', async () => {
    await serving(async (url) => {
      const stable = await checkedFetch(`${url}/api/v2/instances?status=provisioned`, { headers });
      expect(((await stable.json()) as unknown[]).length).to.equal(5);
      const none = await checkedFetch(`${url}/api/v2/instances?status=error`, { headers });
      expect(await none.json()).to.deep.equal([]);
      const page = answers.find(({ path }) => path === '/api/v2/instances?limit=2');
      const next = /<([^>]+)>; rel="next"/.exec(page?.link ?? '')?.[1] ?? '';
      const second = await checkedFetch(url + next.slice('https://api.example.com'.length), { headers });
      const whole = answers[0]?.body as { metadata: { id: string } }[];
      const shown = (await second.json()) as typeof whole;
      expect(shown.map(({ metadata }) => metadata.id)).to.deep.equal(
        whole.slice(2, 4).map(({ metadata }) => metadata.id),
      );
    });
  });

  it('leaves no document as an earlier program derived it: columns, sets and texts are as declared now', async () => {
    await serving(() => Promise.resolve());
    const database = new Database(file, { readonly: true });
    let compared = 0;
    for (const collection of collections as readonly CollectionSpec<unknown>[]) {
      const { name, columns } = collection;
      type Row = Record<string, unknown> & { id: string; value: string };
      for (const row of database.prepare(`SELECT * FROM "${name}"`).all() as Row[]) {
        const value: unknown = JSON.parse(row.value);
        const derived = collection.columnsOf(row.id, value);
        for (const [column, type] of Object.entries(columns)) {
          const stored =
            type === 'set'
              ? database
                  .prepare(`SELECT item FROM "${name}_${column}" WHERE id = ? ORDER BY 1`)
                  .pluck()
                  .all(row.id)
              : row[column];
          const given = derived[column];
          // SQLite knows no negative zero.
          const wanted = Array.isArray(given) ? [...new Set(given)].sort() : given === 0 ? 0 : given;
          expect(stored, `${name} ${row.id} ${column}; does a migration rewrite ${name}?`).to.deep.equal(
            wanted,
          );
        }
        const shown = collection.present?.(row.id, value);
        const text = shown === undefined ? null : JSON.stringify(shown);
        expect(row['public'], `${name} ${row.id}; does a migration rewrite ${name}?`).to.equal(text);
        compared += 1;
      }
    }
    database.close();
    expect(compared).to.be.above(20);
  });

  it('started twice changes nothing more', async () => {
    await serving(() => Promise.resolve());
    const before = contents(file);
    await serving(() => Promise.resolve());
    expect(contents(file)).to.deep.equal(before);
  });

  it('is migrated once by three processes that start together', async () => {
    const script = join(import.meta.dirname, '..', '..', 'support', 'migrate-child.js');
    const children = [1, 2, 3].map(() => promisify(execFile)(process.execPath, [script, file]));
    const ends = await Promise.all(children);
    const said = ends.flatMap(({ stdout }) => stdout.split('\n').filter((line) => line !== ''));
    expect(said.filter((line) => line === 'migrated the store')).to.have.length(migrations.length);
    expect(said.filter((line) => line === `schema ${currentSchema}`)).to.have.length(3);
  });

  it('is never opened by an older program again', async () => {
    await serving(() => Promise.resolve());
    const database = new Database(file);
    // What the first release looks at.
    expect(database.pragma('user_version', { simple: true })).to.equal(schemaVersion);
    database.pragma(`user_version = ${schemaVersion + 1}`);
    database.close();
    const failure = await failureOf(serving(() => Promise.resolve()));
    const refusal = `layout ${schemaVersion + 1}; this version supports ${schemaVersion}.*newer version`;
    expect(failure.message).to.match(new RegExp(refusal));
  });

  it('has a migration for each version in turn, and the layout of SQLite counts along', () => {
    expect(migrations.map(({ version }) => version)).to.deep.equal(migrations.map((_, index) => index + 2));
    expect(schemaVersion).to.equal(currentSchema);
  });
});
