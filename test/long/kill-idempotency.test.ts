/** kill -9 around a create with an Idempotency-Key: the repeat finds it done, or does it; one instance for each key. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { unlessBreach } from '../support/conform.js';
import { wire } from '../support/fuzz-http.js';
import {
  adminKey,
  cleanUp,
  type Offer,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  untilPower,
} from '../support/process.js';

const path = '/api/v2/instances';

interface Sent {
  key: string;
  name: string;
}

describe('kill -9 around requests with an Idempotency-Key', function () {
  this.timeout(120_000);
  let dataDir: string;
  let server: ServerProcess;
  before(() => {
    dataDir = temporaryFolder();
  });
  after(async () => {
    await server.kill('SIGKILL');
    await cleanUp(dataDir);
  });

  const start = () =>
    startServer({ dataDir, args: ['--region', 'simulated'], environment: { COPSE_SIMULATED_DELAY: '40' } });

  /** Sends the create. Resolves with the answer, or undefined when the server died before it. */
  async function create(
    at: ServerProcess,
    { key, name }: Sent,
    offer: Offer,
  ): Promise<{ status: number; body: Instance } | undefined> {
    const headers = {
      Authorization: `Bearer ${adminKey}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
    };
    const body = JSON.stringify({ metadata: { name }, spec: offer });
    const reply = await wire(at.url + path, { method: 'POST', headers, body }).catch(unlessBreach);
    return reply && { status: reply.status, body: JSON.parse(reply.bytes.toString()) as Instance };
  }

  it('makes exactly one instance for each key, whenever the process dies', async () => {
    const rounds = 10;
    const perRound = 6;
    const all: Sent[] = [];
    let lost = 0;
    let replayedIds = 0;
    server = await start();
    const offer = await offerOf(server.client, 'sim-linux');
    for (let round = 0; round < rounds; round += 1) {
      const sent = Array.from({ length: perRound }, (_, n) => ({
        key: `key-${round}-${n}`,
        name: `r${round}-${n}`,
      }));
      all.push(...sent);
      const asked = sent.map((one) => create(server, one, offer));
      // From the first byte on the wire to after the last answer: the moment is what varies from round to round.
      if (round === rounds - 1) await Promise.all(asked);
      else await Promise.race([sleep(round * 2), Promise.all(asked)]);
      await server.kill('SIGKILL');
      const before = await Promise.all(asked);
      lost += before.filter((reply) => reply === undefined).length;

      server = await start();
      for (const [n, one] of sent.entries()) {
        const again = await create(server, one, offer);
        expect(again?.status, `${one.key}: ${JSON.stringify(again?.body)}`).to.equal(201);
        expect(again?.body.metadata.name).to.equal(one.name);
        const first = before[n];
        if (first === undefined) continue;
        expect(first.status).to.equal(201);
        expect(again?.body.metadata.id, one.key).to.equal(first.body.metadata.id);
        replayedIds += 1;
      }
    }
    // Else the moments were badly chosen, and the test proves nothing.
    expect(lost, 'requests whose answer was lost').to.be.above(perRound);
    expect(replayedIds, 'requests whose answer had come').to.be.at.least(perRound);

    const instances = (await server.client.get<Instance[]>(`${path}?limit=1000`)).body;
    expect(instances.map(({ metadata }) => metadata.name).sort()).to.deep.equal(
      all.map(({ name }) => name).sort(),
    );
    for (const { metadata } of instances) {
      await untilPower(server.client, metadata.id, 'Running', 30);
      const tasks = (await server.client.get<Task[]>(`/api/v2/tasks?subjectID=${metadata.id}`)).body;
      expect(
        tasks.map(({ type }) => type),
        metadata.name,
      ).to.deep.equal(['instance.create']);
    }
    expect(await server.kill('SIGTERM')).to.equal(0);
  });
});
