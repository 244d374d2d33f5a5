import { once } from 'node:events';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import type { MongoClient } from 'mongodb';
import { clientFor } from '../../../../src/data/store/mongo/connection.js';
import { freshDatabase, mongoMissing, stopMongo } from '../../../support/mongo.js';

/** What the driver checks a server with, on a connection of its own. */
interface Monitor {
  connection: { socket: Socket } | null;
}

function monitorOf(client: MongoClient): Monitor {
  const inside = client as unknown as {
    topology: { s: { servers: Map<string, { monitor: Monitor }> } };
  };
  const [server] = inside.topology.s.servers.values();
  if (server === undefined) throw new Error('the client knows no server');
  return server.monitor;
}

describe('a check of the server whose connection ends as it is written', function () {
  this.timeout(60_000);
  let client: MongoClient | undefined;
  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, checks of the server: ${missing}\n`);
    this.skip();
  });
  after(async () => {
    await client?.close();
    await stopMongo();
  });

  it('fails, and others follow it', async () => {
    client = clientFor(await freshDatabase());
    await client.connect();
    await client.db().command({ ping: 1 });
    const monitor = monitorOf(client);
    // Told just before the check is written.
    client.once('serverHeartbeatStarted', () => monitor.connection?.socket.destroy());
    await once(client, 'serverHeartbeatFailed');
    await once(client, 'serverHeartbeatSucceeded');
    expect(await client.db().command({ ping: 1 })).to.include({ ok: 1 });
  });
});
