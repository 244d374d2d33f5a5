/** Ids of events after a copy of the store and after a restore: none comes to mean another event. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { copyStore } from '../../src/data/copy.js';
import { backUp, restore } from '../../src/data/store/sqlite/backup.js';
import type { Event } from '../../src/model/event.js';
import { startServer, type TestServer } from '../support/server.js';
import { onMongo, openTestStore } from '../support/store.js';

const path = '/api/v2/events';

describe('ids of events', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'copse-event-ids-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  const during = async <R>(name: string, work: (server: TestServer) => Promise<R>): Promise<R> => {
    // No observation may add events of its own.
    const flags = { store: `sqlite:${name}.sqlite`, tasks: { observe: 86_400 } };
    const server = await startServer({ dataDir, flags });
    try {
      return await work(server);
    } finally {
      await server.stop();
    }
  };
  const eventsOf = async (server: TestServer, after = '0') => {
    const { status, body, text } = await server.admin.get<Event[]>(`${path}?limit=1000&after=${after}`);
    expect(status, text).to.equal(200);
    return body.map(({ id, type, resourceId }) => ({ id: Number(id), type, resourceId }));
  };
  const refusalOf = async (server: TestServer, after: number, stream: boolean) => {
    const headers: Record<string, string> = stream
      ? { Accept: 'text/event-stream', 'Last-Event-ID': String(after) }
      : {};
    const address = stream ? path : `${path}?after=${after}`;
    const { status, body } = await server.admin.get<{ code: string }>(address, { headers });
    return { status, code: body.code };
  };
  const expired = { status: 410, code: 'events_expired' };

  it('go on in a copy of the store: who knows the last misses nothing, and who does not is told', async () => {
    const [last = 0, before = 0] = await during('from', async (server) => {
      await server.running('a');
      return (await eventsOf(server)).map(({ id }) => id).reverse();
    });
    expect(before).to.be.above(1);
    const open = (name: string) => openTestStore(collections, `sqlite:${name}.sqlite`, dataDir);
    // A copy of a copy goes on too.
    for (const [from, to] of [
      ['from', 'to'],
      ['to', 'third'],
    ] as const) {
      const [source, target] = [await open(from), await open(to)];
      await copyStore(source, target, collections, () => undefined);
      await source.close();
      await target.close();
    }
    await during('third', async (server) => {
      expect(await refusalOf(server, before, false)).to.deep.equal(expired);
      expect(await refusalOf(server, before, true)).to.deep.equal(expired);
      expect(await eventsOf(server, String(last))).to.deep.equal([]);
      const { metadata } = await server.running('b');
      expect(await refusalOf(server, before, false), 'when the log has grown').to.deep.equal(expired);
      const events = await eventsOf(server, String(last));
      expect(events[0]).to.deep.include({ type: 'instance.created', resourceId: metadata.id });
      expect(events[0]?.id).to.equal(last + 1);
      expect(await eventsOf(server)).to.deep.equal(events);
      expect((await refusalOf(server, (events.at(-1)?.id ?? 0) + 1, false)).status).to.equal(400);
    });
  });

  // MongoDB is restored with its own tools: `copse restore` is SQLite's.
  const itOnSqlite = onMongo ? it.skip : it;
  itOnSqlite('are not given out again after a restore', async () => {
    const [file, backup] = [join(dataDir, 'copse.sqlite'), join(dataDir, 'backup.sqlite')];
    const [kept, lost] = await during('copse', async (server) => {
      await server.running('a');
      const first = await eventsOf(server);
      await backUp(file, backup, () => undefined);
      await server.running('b');
      return [first, await eventsOf(server)];
    });
    restore(backup, file, true, () => undefined);
    await during('copse', async (server) => {
      for (const { id } of [...kept.slice(-1), ...lost.slice(-1)])
        expect(await refusalOf(server, id, false)).to.deep.equal(expired);
      const there = await eventsOf(server);
      expect(there.map(({ type }) => type)).to.deep.equal(kept.map(({ type }) => type));
      await server.running('c');
      await server.running('d');
      expect(await refusalOf(server, lost.at(-1)?.id ?? 0, false)).to.deep.equal(expired);
      const ids = (await eventsOf(server)).map(({ id }) => id);
      expect(Math.min(...ids)).to.be.above(lost.at(-1)?.id ?? 0);
      expect(await eventsOf(server, String(ids.at(-2)))).to.have.length(1);
    });
  });
});
