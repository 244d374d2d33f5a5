import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { keyHash, secretFor } from '../../src/data/secret.js';
import type { Store } from '../../src/data/store/port.js';
import { openTestStore } from '../support/store.js';

describe('the secrets of a store', () => {
  let store: Store;

  beforeEach(async () => {
    store = await openTestStore();
  });
  afterEach(() => store.close());

  it('are 32 random bytes that stay the same, another for each purpose and each store', async () => {
    const other = await openTestStore();
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
