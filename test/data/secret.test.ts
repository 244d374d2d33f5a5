import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { keyHash, secretFor } from '../../src/data/secret.js';
import type { Store } from '../../src/data/store/port.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';

describe('the secrets of a store', () => {
  let store: Store;

  beforeEach(() => {
    store = new SqliteStore(':memory:', collections);
  });
  afterEach(() => store.close());

  it('are 32 random bytes that stay the same, another for each purpose and each store', async () => {
    const other = new SqliteStore(':memory:', collections);
    const cursor = await secretFor(store, 'cursor');
    expect(cursor).to.have.length(32);
    expect(await secretFor(store, 'cursor')).to.deep.equal(cursor);
    expect(await secretFor(store, 'apikey')).not.to.deep.equal(cursor);
    expect(await secretFor(other, 'cursor')).not.to.deep.equal(cursor);
    await other.close();
  });

  it('are made once, also when several ask at once', async () => {
    const secrets = await Promise.all(Array.from({ length: 10 }, () => secretFor(store, 'cursor')));
    expect(new Set(secrets.map((secret) => secret.toString('hex'))).size).to.equal(1);
  });

  it('make the hash of a key worth nothing in another store', async () => {
    const secret = await secretFor(store, 'apikey');
    expect(keyHash(secret, 'key')).to.equal(createHmac('sha256', secret).update('key').digest('hex'));
    expect(keyHash(Buffer.alloc(32), 'key')).not.to.equal(keyHash(secret, 'key'));
  });
});
