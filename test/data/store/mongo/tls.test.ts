/** A store behind TLS, as connection strings ask for it: a gate in front of the test's own server. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { expect } from 'chai';
import { packageRoot } from '../../../../src/config.js';
import { insert } from '../../../../src/data/store/port.js';
import { MongoStore } from '../../../../src/data/store/mongo/mongo.js';
import { collections, thing, things } from '../../../contract/store/bench.js';
import { failureOf } from '../../../support/eventually.js';
import { dropDatabase, freshDatabase, mongoMissing, stopMongo } from '../../../support/mongo.js';

// Self-signed for 127.0.0.1, for these tests alone; made by `openssl req -x509`, valid until 2126.
const folder = join(packageRoot(), 'test/fixtures/tls');
const certificate = join(folder, 'certificate.pem');

describe('a MongoDB store behind TLS', function () {
  this.timeout(30_000);
  let gate: Server | undefined;
  let plain: string;
  let address: string;

  before(async function () {
    const missing = mongoMissing();
    if (missing !== undefined || process.env['MONGODB_URL'] !== undefined) {
      const why = missing ?? 'the server of MONGODB_URL may have more than one address';
      process.stdout.write(`!!! SKIPPED, MongoDB behind TLS: ${why}\n`);
      this.skip();
    }
    plain = await freshDatabase();
    const { port, pathname } = new URL(plain);
    const own = createServer(
      { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(certificate) },
      (near) => {
        const far = connect(Number(port), '127.0.0.1');
        near.pipe(far).pipe(near);
        for (const socket of [near, far])
          socket.on('error', () => undefined).on('close', () => [near, far].map((one) => one.destroy()));
      },
    );
    gate = own;
    own.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
    const listening = own.address();
    if (listening === null || typeof listening === 'string') throw new Error('no port');
    address = `mongodb://127.0.0.1:${listening.port}${pathname}?directConnection=true&serverSelectionTimeoutMS=1500`;
  });
  after(async () => {
    if (gate === undefined) return;
    gate.close();
    await dropDatabase(plain);
    await stopMongo();
  });

  it('is opened, written and read with the certificate that the address names', async () => {
    const store = await MongoStore.open(`${address}&tls=true&tlsCAFile=${certificate}`, collections);
    try {
      await store.write([insert(things, 'a', thing({ name: 'safe' }))]);
      expect((await store.get(things, 'a'))?.value.name).to.equal('safe');
    } finally {
      await store.close();
    }
  });

  it('is not opened when nobody vouches for its certificate, nor without TLS, and says why', async () => {
    const unknown = await failureOf(MongoStore.open(`${address}&tls=true`, collections));
    expect(unknown.name).to.equal('StoreUnreachable');
    expect(unknown.message).to.match(/self-signed certificate/);
    const naked = await failureOf(MongoStore.open(address, collections));
    expect(naked.name).to.equal('StoreUnreachable');
  });
});
