/**
 * A disk that is full under Copse's own database while a stop or start is accepted and carried out: each commit from one
 * on fails as SQLite fails then, until there is room again.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import type { Instance } from '../../../../src/model/instance.js';
import { eventually } from '../../../support/eventually.js';
import { startServer, type TestServer } from '../../../support/server.js';
import { SqliteFaults } from '../../../support/sqlite-faults.js';

describe('a full disk under the database of Copse', function () {
  this.timeout(60_000);
  const faults = new SqliteFaults();
  let dataDir: string;
  let server: TestServer;
  let file: Database.Database;
  let id: string;

  before(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'copse-test-'));
    faults.install();
    const flags = { store: 'sqlite:copse.sqlite' };
    server = await startServer({ dataDir, flags, ownStore: true, defectsExpected: true });
    id = (await server.running('full')).metadata.id;
    file = new Database(join(dataDir, 'copse.sqlite'), { readonly: true });
  });
  after(async () => {
    file.close();
    await server.stop();
    faults.restore();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const address = () => `/api/v2/instances/${id}`;
  const shown = async () => (await server.admin.get<Instance>(address())).body;
  /** As another process reads it. */
  const written = () =>
    JSON.parse(
      file.prepare('SELECT public FROM instances WHERE id = ?').pluck().get(id) as string,
    ) as Instance;
  const ask = (verb: string) => server.admin.post(`${address()}/${verb}`, undefined, { failing: 503 });
  const until = (state: string) => server.settled(id, ({ status }) => status.powerState === state);
  const verbs = { stop: 'Stopped', start: 'Running' } as const;

  it('refuses a stop and a start with 503, changes nothing, and is over when there is room', async () => {
    for (const [verb, state] of Object.entries(verbs)) {
      const before = await server.admin.get(address());
      await faults.lasting('COMMIT', 1, 'ENOSPC', async () => {
        const refused = await server.admin.refused('store_unavailable', 'POST', `${address()}/${verb}`, {
          failing: 503,
        });
        expect(Number(refused.headers.get('retry-after'))).to.be.above(0);
        expect(refused.body.message).to.include('disk is full');
        const after = await server.admin.get(address());
        expect(after.text).to.equal(before.text);
        expect(after.headers.get('etag')).to.equal(before.headers.get('etag'));
      });
      expect((await ask(verb)).status, verb).to.equal(202);
      await until(state);
    }
  });

  for (const [verb, state] of Object.entries(verbs)) {
    it(`shows only what is written, from whatever commit of a ${verb} on, and then does it`, async () => {
      const from = Object.values(verbs).find((other) => other !== state) ?? '';
      let accepted = 0;
      for (let commit = 1, met = true; met; commit += 1) {
        if ((await shown()).status.powerState !== from) await ask(verb === 'stop' ? 'start' : 'stop');
        await until(from);
        met = await faults.lasting('COMMIT', commit, 'ENOSPC', async () => {
          const { status } = await ask(verb);
          if (status === 202) accepted += 1;
          else expect([status, (await shown()).status.powerState]).to.deep.equal([503, from]);
          // Tasks are tried again all the while.
          await eventually(async () => {
            const { metadata, status } = await shown();
            expect({ metadata, status }).to.deep.include({
              metadata: written().metadata,
              status: written().status,
            });
            return faults.refusals >= 8 || (status.taskId === undefined && status.powerState === state);
          });
          return faults.refusals > 0;
        });
        // What was accepted has ended by itself: done, or given up.
        if ((await server.settled(id)).status.powerState === state) continue;
        expect((await ask(verb)).status, `${verb} after commit ${commit}`).to.equal(202);
        await until(state);
      }
      expect(accepted).to.be.above(2);
    });
  }

  it('leaves every verb as it was', async () => {
    for (const [verb, state] of [
      ['stop', 'Stopped'],
      ['start', 'Running'],
      ['reboot', 'Running'],
    ] as const) {
      expect((await ask(verb)).status, verb).to.equal(202);
      await until(state);
    }
    await server.deleteInstance(id);
  });
});
