/** The database server goes away and comes back under a running server: 503, nothing lost, recovery without a restart. */
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { checkedFetch } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { MongoServer, ownServerMissing } from '../support/mongo.js';
import { HangingProxy } from '../support/proxy.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';
import { faultsIn } from '../support/store-invariants.js';

const limits = 'serverSelectionTimeoutMS=1500&connectTimeoutMS=1000&socketTimeoutMS=1500';

interface Refusal {
  code: string;
  retryable: boolean;
}

/** Creates instances on several lanes until it is stopped, and keeps what was answered. */
class Load {
  readonly created = new Set<string>();
  readonly refusals: { status: number; code: string; retryAfter: string | null }[] = [];
  /** What ended a lane, which nothing should. */
  trouble: unknown;
  #over = false;
  readonly #lanes: Promise<void>[];

  constructor(server: TestServer, prefix: string) {
    const work = async (lane: number) => {
      for (let turn = 0; !this.#over; turn += 1) {
        const wish = server.instanceBody(`${prefix}-${lane}-${turn}`);
        const reply = await checkedFetch(`${server.url}/api/v2/instances`, {
          method: 'POST',
          headers: { Authorization: `Bearer ${adminKey}`, 'Content-Type': 'application/json' },
          body: JSON.stringify(wish),
        });
        const body = (await reply.json()) as Instance & Refusal;
        if (reply.status === 201) this.created.add(body.metadata.id);
        else {
          const retryAfter = reply.headers.get('retry-after');
          this.refusals.push({ status: reply.status, code: body.code, retryAfter });
        }
      }
    };
    this.#lanes = Array.from({ length: 4 }, (_, lane) =>
      work(lane).catch((error: unknown) => {
        this.trouble = error;
      }),
    );
  }

  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#lanes);
  }
}

describe('a database server that goes away', function () {
  this.timeout(180_000);
  let database: MongoServer;
  let server: TestServer | undefined;
  let proxy: HangingProxy | undefined;

  before(function () {
    const missing = ownServerMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, faults of MongoDB: ${missing}\n`);
    this.skip();
  });
  beforeEach(async () => {
    database = await new MongoServer().start();
  });
  afterEach(async () => {
    await server?.stop();
    await proxy?.close();
    [server, proxy] = [undefined, undefined];
    await database.clear();
  });

  const start = async (address: string) => {
    server = await startServer({
      flags: { store: address, limits: { requests: 0 }, server: { requestTimeout: 20 } },
      defectsExpected: true,
    });
    return server;
  };

  /** Away and back again, under load; then all that was acknowledged is there. */
  const outage = async (
    running: TestServer,
    away: () => Promise<void> | void,
    back: () => Promise<void> | void,
  ) => {
    const load = new Load(running, 'during');
    await eventually(() => load.created.size >= 10, { within: 30_000, what: 'the first creates' });
    await away();
    await eventually(() => load.refusals.length >= 4 || load.trouble !== undefined, {
      within: 40_000,
      what: 'refusals',
    });
    const before = load.created.size;
    await back();
    await eventually(() => load.created.size >= before + 10, { within: 40_000, what: 'creates after it' });
    await load.stop();
    expect(load.trouble).to.be.undefined;
    for (const { status, code, retryAfter } of load.refusals) {
      expect(status).to.equal(503);
      expect(code).to.be.oneOf(['store_unavailable', 'deadline_exceeded']);
      expect(Number(retryAfter), code).to.be.above(0);
    }
    expect(load.refusals.map(({ code }) => code)).to.include('store_unavailable');
    for (const id of load.created)
      expect((await running.admin.get(`/api/v2/instances/${id}`)).status, id).to.equal(200);
    await eventually(async () => (await faultsIn(running.app.store)).length === 0, { within: 20_000 });
  };

  for (const [how, signal] of [
    ['killed', 'SIGKILL'],
    ['stopped in order', 'SIGTERM'],
  ] as const) {
    it(`is missed with 503 while it is down, ${how} during writes, and found again`, async () => {
      const running = await start(`${database.address}/copse?${limits}`);
      await outage(
        running,
        () => database.stop(signal),
        async () => {
          await database.start();
        },
      );
    });
  }

  it('is missed with 503 while the network swallows everything, and found again', async () => {
    proxy = new HangingProxy(database.port);
    const port = await proxy.listen();
    // A replica set tells its clients where its members are, which is not behind the proxy.
    const running = await start(`mongodb://127.0.0.1:${port}/copse?directConnection=true&${limits}`);
    await outage(
      running,
      () => proxy?.hang(),
      () => proxy?.recover(),
    );
  });
});
