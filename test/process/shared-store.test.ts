/** Several processes on one store: no lost update, no doubled task; keys, sessions and kept answers are shared at once. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { insert, remove, type Store } from '../../src/data/store/port.js';
import { UserData, apiKeys, newApiKey, users } from '../../src/data/user.js';
import { secretFor } from '../../src/data/secret.js';
import { timestamp } from '../../src/model/common.js';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { Instance } from '../../src/model/instance.js';
import type { Project } from '../../src/model/project.js';
import type { Session } from '../../src/model/session.js';
import type { Task } from '../../src/model/task.js';
import type { User } from '../../src/model/user.js';
import { openStore } from '../../src/site/stores.js';
import { checkedFetch } from '../support/conform.js';
import { audience, TestIssuer } from '../support/oidc.js';
import { cookieOf, fromPage } from '../support/page.js';
import { freshDatabase, mongoMissing, stopMongo } from '../support/mongo.js';
import {
  adminKey,
  cleanUp,
  createInstance,
  type Offer,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
} from '../support/process.js';

interface Engine {
  name: string;
  /** What there is not, and so skips the suite. */
  missing: () => string | undefined;
  /** Of a store of its own, where a folder is given. */
  address: (name: string) => Promise<string>;
  /** How much of everything: MongoDB takes longer for each. */
  part: number;
}

const engines: Engine[] = [
  {
    name: 'SQLite',
    missing: () => undefined,
    address: (name) => Promise.resolve(`sqlite:${name}.sqlite`),
    part: 1,
  },
  { name: 'MongoDB', missing: mongoMissing, address: freshDatabase, part: 0.2 },
];

for (const engine of engines) sharing(engine);

function sharing({ name, missing, address, part }: Engine): void {
  describe(`several servers on one store on ${name}`, function () {
    this.timeout(240_000);
    let dataDir: string;
    let servers: ServerProcess[];
    let offer: Offer;
    let store: Store;
    let issuer: TestIssuer;

    before(async function () {
      const lacking = missing();
      if (lacking !== undefined) {
        process.stdout.write(`!!! SKIPPED, several servers on ${name}: ${lacking}\n`);
        this.skip();
      }
      const shared = await address('copse');
      dataDir = temporaryFolder();
      issuer = await TestIssuer.start();
      const options = {
        dataDir,
        args: ['--region', 'simulated'],
        environment: {
          COPSE_STORE: shared,
          COPSE_SIMULATED_DELAY: '5',
          COPSE_TASKS_POLL: '0.2',
          COPSE_LIMITS_REQUESTS: '1000000',
          COPSE_AUTH_OIDC: JSON.stringify([{ issuer: issuer.url, audience: [audience] }]),
        },
      };
      // Together, on nothing: the set-up must happen once.
      servers = await Promise.all([1, 2, 3].map(() => startServer(options)));
      offer = await offerOf(servers[0]?.client ?? fail(), 'sim-linux');
      store = await openStore(shared, dataDir, collections);
    });
    after(async () => {
      if (missing() !== undefined) return;
      await store.close();
      await issuer.close();
      for (const server of servers) await server.kill('SIGTERM');
      await cleanUp(dataDir);
      await stopMongo();
    });

    function fail(): never {
      throw new Error('no server');
    }
    const ask = (
      server: ServerProcess | undefined,
      path: string,
      init: { method?: string; body?: string; headers?: Record<string, string> } = {},
      key = adminKey,
    ) =>
      checkedFetch((server?.url ?? fail()) + path, {
        ...init,
        headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', ...init.headers },
      });

    it('run each task once, whoever accepted it', async () => {
      const made = await Promise.all(
        Array.from({ length: 60 * part }, (_, index) =>
          createInstance(servers[index % 3]?.client ?? fail(), `shared-${index}`, offer),
        ),
      );
      const { client } = servers[0] ?? fail();
      for (const { metadata, status } of made) {
        const task = await until(`the task of ${metadata.name}`, 60, async () => {
          const { body } = await client.get<Task>(`/api/v2/tasks/${status.taskId ?? ''}`);
          return body.status === 'succeeded' ? body : undefined;
        });
        expect(task.attempts.map(({ number, outcome }) => [number, outcome])).to.deep.equal([
          [1, 'succeeded'],
        ]);
        const { body } = await client.get<Instance>(`/api/v2/instances/${metadata.id}`);
        expect(body.status.powerState).to.equal('Running');
      }
    });

    it('see what another has written with their very next request', async () => {
      const [first, second, third] = servers;
      for (let round = 0; round < 20 * part; round += 1) {
        const { metadata } = await createInstance(first?.client ?? fail(), `fresh-${round}`, offer);
        for (const server of [second, third]) {
          expect((await ask(server, `/api/v2/instances/${metadata.id}`)).status).to.equal(200);
          const list = await ask(server, '/api/v2/instances?descending=true&limit=1');
          expect(((await list.json()) as Instance[])[0]?.metadata.id).to.equal(metadata.id);
        }
      }
    });

    it('take a name once, however many ask for it together', async () => {
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          ask(servers[index % 3], '/api/v2/instances', {
            method: 'POST',
            body: JSON.stringify({ metadata: { name: 'only-one' }, spec: offer }),
          }),
        ),
      );
      const statuses = answers.map(({ status }) => status).sort();
      expect(statuses).to.deep.equal([201, ...Array.from({ length: 11 }, () => 409)]);
    });

    it('share kept answers: one request under one key makes one instance', async () => {
      const send = (server: ServerProcess | undefined) =>
        ask(server, '/api/v2/instances', {
          method: 'POST',
          headers: { 'Idempotency-Key': 'shared-key' },
          body: JSON.stringify({ metadata: { name: 'kept' }, spec: offer }),
        });
      const together = await Promise.all(servers.map(send));
      const won = together.filter(({ status }) => status === 201);
      expect(won.length).to.be.at.least(1);
      for (const { status } of together) expect(status).to.be.oneOf([201, 409]);
      const ids = new Set<string>();
      for (const server of servers) {
        const repeat = await send(server);
        expect(repeat.status).to.equal(201);
        ids.add(((await repeat.json()) as Instance).metadata.id);
      }
      expect(ids.size).to.equal(1);
    });

    it('refuse a revoked key with the next request, all of them', async () => {
      const data = new UserData(store, await secretFor(store, 'apikey'), () => ({
        superUsers: [],
        everyoneIsSuperUser: false,
      }));
      for (let round = 0; round < 5; round += 1) {
        const key = newApiKey();
        const [userId, keyId] = [`01900000-0000-7000-8000-00000000100${round}`, `key-${round}`];
        const creationTime = timestamp();
        await store.write([
          insert(users, userId, { name: `person-${round}`, active: true, creationTime }),
          insert(apiKeys, keyId, { userId, name: 'test', hash: data.hash(key), creationTime }),
        ]);
        for (const server of servers)
          expect((await ask(server, '/api/v2/projects', {}, key)).status).to.equal(200);
        const found = await store.get(apiKeys, keyId);
        if (found !== undefined) await store.write([remove(apiKeys, found)]);
        for (const server of servers)
          expect((await ask(server, '/api/v2/projects', {}, key)).status).to.equal(401);
      }
    });

    it('take new keys, roles and users of each other, and refuse what is revoked, with the next request', async () => {
      const send = async (at: number, method: string, path: string, body?: object, key = adminKey) => {
        const answer = await ask(
          servers[at],
          path,
          { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) },
          key,
        );
        const text = await answer.text();
        return { status: answer.status, body: (text === '' ? undefined : JSON.parse(text)) as unknown };
      };
      const user = await send(0, 'POST', '/api/v2/users', { metadata: { name: 'everywhere' } });
      const one = `/api/v2/users/${(user.body as User).metadata.id}`;
      const made = await send(1, 'POST', `${one}/apikeys`, { metadata: { name: 'first' } });
      const { key, metadata } = made.body as NewApiKey;
      const [project] = (await send(0, 'GET', '/api/v2/projects')).body as Project[];
      const members = `/api/v2/projects/${project?.metadata.id ?? ''}/members`;
      const member = { userId: (user.body as User).metadata.id, role: 'reader' };
      expect((await send(2, 'POST', members, member)).status).to.equal(201);
      const statuses = () =>
        Promise.all(
          servers.map(async (_server, at) => (await send(at, 'GET', members, undefined, key)).status),
        );
      expect(await statuses()).to.deep.equal([200, 200, 200]);
      expect((await send(1, 'DELETE', `${members}/${member.userId}`)).status).to.equal(204);
      expect(await statuses()).to.deep.equal([404, 404, 404]);
      await send(0, 'POST', members, member);
      expect(await statuses()).to.deep.equal([200, 200, 200]);
      await send(2, 'PATCH', one, { spec: { active: false } });
      expect(await statuses()).to.deep.equal([401, 401, 401]);
      await send(0, 'PATCH', one, { spec: { active: true } });
      expect(await statuses()).to.deep.equal([200, 200, 200]);
      await send(1, 'DELETE', `${one}/apikeys/${metadata.id}`);
      expect(await statuses()).to.deep.equal([401, 401, 401]);
    });

    it('share sessions: one that ends in a process is refused by all with the next request', async () => {
      const begin = async () => {
        const answer = await ask(servers[0], '/api/v2/signin', { method: 'POST' });
        expect(answer.status).to.equal(200);
        const { metadata } = (await answer.json()) as Session;
        return { Cookie: cookieOf(answer), path: `/api/v2/users/${metadata.userId}/sessions/${metadata.id}` };
      };
      const statuses = (Cookie: string) =>
        Promise.all(
          servers.map(
            async ({ url }) => (await checkedFetch(`${url}/api/v2/user`, { headers: { Cookie } })).status,
          ),
        );
      const [revoked, left] = [await begin(), await begin()];
      expect(await statuses(revoked.Cookie)).to.deep.equal([200, 200, 200]);
      expect((await ask(servers[1], revoked.path, { method: 'DELETE' })).status).to.equal(204);
      expect(await statuses(revoked.Cookie)).to.deep.equal([401, 401, 401]);
      expect(await statuses(left.Cookie)).to.deep.equal([200, 200, 200]);
      const headers = { Cookie: left.Cookie, ...fromPage };
      const signOut = await checkedFetch(`${servers[2]?.url ?? ''}/api/v2/signout`, {
        method: 'POST',
        headers,
      });
      expect(signOut.status).to.equal(204);
      expect(await statuses(left.Cookie)).to.deep.equal([401, 401, 401]);
    });

    it('give the subject of a token one user, though all see it first', async () => {
      for (let round = 0; round < 5; round += 1) {
        const token = await issuer.token({ sub: `subject-${round}` });
        const ids = await Promise.all(
          servers.map(async (server) => {
            const answer = await ask(server, '/api/v2/user', {}, token);
            expect(answer.status).to.equal(200);
            return ((await answer.json()) as User).metadata.id;
          }),
        );
        expect(new Set(ids).size).to.equal(1);
        await ask(servers[1], `/api/v2/users/${ids[0] ?? ''}`, {
          method: 'PATCH',
          body: JSON.stringify({ spec: { active: false } }),
        });
        for (const server of servers)
          expect((await ask(server, '/api/v2/user', {}, token)).status).to.equal(401);
      }
    });

    it('take each other’s page keys', async () => {
      const page = await ask(servers[0], '/api/v2/instances?limit=5');
      const next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
      const { pathname, search } = new URL(next);
      const [second, same] = [
        await ask(servers[1], pathname + search),
        await ask(servers[0], pathname + search),
      ];
      expect(second.status).to.equal(200);
      expect(await second.json()).to.deep.equal(await same.json());
    });

    it('lose no update when processes write the same documents as fast as they can', async () => {
      const script = join(import.meta.dirname, '..', 'support', 'counting-child.js');
      const counting = await address('counting');
      const ends = await Promise.all(
        [1, 2, 3, 4].map(
          () =>
            new Promise<number | null>((resolve) => {
              spawn(process.execPath, [script, counting, dataDir, String(250 * part)], {
                stdio: 'inherit',
              }).once('exit', resolve);
            }),
        ),
      );
      expect(ends).to.deep.equal([0, 0, 0, 0]);
      const { counters, collections: tried } = await import('../contract/store/bench.js');
      const counted = await openStore(counting, dataDir, tried);
      const found = await counted.get(counters, 'c');
      expect(found?.value.count).to.equal(1000 * part);
      expect(found?.revision).to.equal(1000 * part + 1);
      await counted.close();
    });
  });
}
