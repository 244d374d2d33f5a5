/** Who has an Idempotency-Key, and for how long: of several processes, of which some are slow, dead or cut off. */
import { expect } from 'chai';
import { idempotency, IdempotencyData, type IdempotencyClaim } from '../../src/data/idempotency.js';
import { Availability } from '../../src/data/store/availability.js';
import { replace, type Store, StoreConflict } from '../../src/data/store/port.js';
import { ApiError } from '../../src/model/error.js';
import { eventually, failureOf } from '../support/eventually.js';
import { RecordingLog } from '../support/log.js';
import { faulty } from '../support/outage.js';
import { distantOwner } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

const minute = 60_000;
const answer = { status: 200, headers: {}, body: '{}' };

describe('an Idempotency-Key whose work is under way', () => {
  let store: Store;
  const open: IdempotencyData[] = [];

  /** A process of another machine, so that only its signs of life tell whether it lives. */
  const process = (name: string, lease = minute, on = store): IdempotencyData => {
    const data = new IdempotencyData(on, distantOwner() + name, { lease });
    open.push(data);
    return data;
  };
  const asked = (key: string) => ({ userId: 'u', key, operation: 'POST /things', content: '[{},{}]' });
  const begin = (data: IdempotencyData, key = 'key'): Promise<IdempotencyClaim> => data.begin(asked(key));
  const refusedTo = async (data: IdempotencyData, key = 'key') => {
    const error = await failureOf(begin(data, key));
    expect(error).to.be.an.instanceOf(ApiError).and.include({ code: 'idempotency_in_progress' });
  };
  const record = async () => {
    const [found, ...others] = await store.page(idempotency, { order: 'id', limit: 10 });
    expect(others).to.have.length(0);
    return found;
  };

  beforeEach(async () => {
    store = await openTestStore();
  });
  afterEach(async () => {
    for (const data of open.splice(0)) data.close();
    await store.close();
  });

  it('is refused to other processes for as long as a slow one works, well beyond a lease', async () => {
    const [holder, other] = [process('slow', 400), process('other', 2000)];
    const claim = await begin(holder);
    const began = performance.now();
    while (performance.now() - began < 4500) {
      await refusedTo(other);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect((await record())?.value.beat).to.be.above(1);
    await claim.finish(answer);
    expect((await begin(other)).answer).to.deep.equal(answer);
  }).timeout(20_000);

  it('of a living process that is slow (4 minutes, or hours) is 409, whatever the clocks say', async () => {
    for (const age of [4 * minute, 23 * 60 * minute]) {
      const key = `aged-${age}`;
      const holder = process(key, 200);
      await begin(holder, key);
      const page = await store.page(idempotency, { order: 'id', limit: 10 });
      const found = page.find(({ value }) => value.owner === distantOwner() + key);
      if (found === undefined) throw new Error('the claim is not in the store');
      const old = { ...found.value, created: Date.now() - age, ...(age > 5 * minute ? { beat: 1 } : {}) };
      await store.write([{ ...replace(idempotency, found, old), keepRevision: true }]);
      await refusedTo(process('other'), key);
      holder.close();
    }
  });

  it('costs no sign of life when the work is soon done', async () => {
    const holder = process('quick');
    const claim = await begin(holder);
    expect((await record())?.value).not.to.have.property('beat');
    await claim.finish(answer);
    expect((await record())?.value).not.to.have.property('beat');
  });

  it('is free soon after its process ended, on whatever machine: when a lease has gone by without a sign', async () => {
    const [holder, other] = [process('gone', 100), process('other', 300)];
    await begin(holder);
    holder.close();
    const began = performance.now();
    await refusedTo(other);
    const claim = await eventually(() => begin(other));
    expect(performance.now() - began).to.be.at.least(299);
    expect(claim.answer).to.be.undefined;
    await claim.finish(answer);
  });

  it('keeps its answer in the batch of the effect, though signs of life are written meanwhile', async () => {
    const claim = await begin(process('beating', 40));
    const writes = claim.writes(answer);
    await eventually(async () => ((await record())?.value.beat ?? 0) >= 3);
    await store.write(writes);
    await claim.finish(answer);
    expect((await begin(process('other'))).answer).to.deep.equal(answer);
  });

  it('is given back after an outage in which that failed, long before a lease is over', async () => {
    const log = new RecordingLog();
    const way = faulty(store);
    const holder = new IdempotencyData(way.store, `${distantOwner()}cut`, { lease: minute, log });
    open.push(holder);
    const keys = Array.from({ length: 24 }, (_, index) => `key-${index}`);
    const claims = await Promise.all(keys.map((key) => begin(holder, key)));
    way.fault = 'away';
    await Promise.all(claims.map((claim) => claim.release()));
    expect(log.entries.filter(({ level }) => level === 'warn')).to.have.length(24);
    await refusedTo(process('early'), 'key-0');
    way.fault = 'none';
    // The very process knows at once.
    expect((await begin(holder, 'key-0')).answer).to.be.undefined;
    const others = keys.slice(1);
    const other = process('other');
    await eventually(async () => (await store.count(idempotency, {})) === 1, { within: 8000 });
    for (const key of others) expect((await begin(other, key)).answer).to.be.undefined;
  }).timeout(20_000);

  it('stays with its living process right after an outage that was longer than a lease', async () => {
    const way = faulty(store);
    const availability = new Availability(new RecordingLog(), { intervalMs: 20 });
    availability.watch(way.store);
    try {
      const lease = 400;
      const claim = await begin(process('cut', lease, way.store));
      const other = new IdempotencyData(store, `${distantOwner()}other`, {
        lease,
        usableSince: () => availability.usableSince,
      });
      open.push(other);
      await refusedTo(other);
      way.fault = 'away';
      const began = performance.now();
      await eventually(() => performance.now() - began > 2 * lease);
      // Also before this process has seen that the store is back.
      await refusedTo(other);
      way.fault = 'none';
      const back = performance.now();
      while (performance.now() - back < 2 * lease) {
        await refusedTo(other);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await claim.finish(answer);
      expect((await begin(other)).answer).to.deep.equal(answer);
    } finally {
      await availability.close();
    }
  });

  it('has its answer after an outage in which that could not be kept', async () => {
    const way = faulty(store);
    const claim = await begin(process('cut', minute, way.store));
    way.fault = 'away';
    await claim.finish(answer);
    await refusedTo(process('other'));
    way.fault = 'none';
    await eventually(async () => (await record())?.value.answer !== undefined);
    expect((await begin(process('other'))).answer).to.deep.equal(answer);
  });

  it('is not taken by a request that never learnt whether it had claimed it', async () => {
    const way = faulty(store);
    const unlucky = process('unlucky', minute, way.store);
    way.fault = 'late';
    await failureOf(begin(unlucky));
    way.fault = 'none';
    const claim = await eventually(() => begin(process('other')));
    expect(claim.answer).to.be.undefined;
  });

  it('stays with another process that has claimed it since, though the release is tried again', async () => {
    const way = faulty(store);
    const claim = await begin(process('late', minute, way.store));
    way.fault = 'late';
    await claim.release();
    const looks = way.calls.get('get') ?? 0;
    const theirs = await begin(process('other'));
    way.fault = 'none';
    await eventually(() => (way.calls.get('get') ?? 0) > looks);
    await theirs.finish(answer);
    expect((await begin(process('third'))).answer).to.deep.equal(answer);
  });

  it('tells who has lost it that another one is at work', async () => {
    const [holder, other] = [process('lost', 100), process('other', 200)];
    const claim = await begin(holder);
    holder.close();
    await eventually(() => begin(other));
    const conflict = await failureOf(store.write(claim.writes(answer)));
    expect(conflict).to.be.an.instanceOf(StoreConflict);
    expect(claim.explain(conflict))
      .to.be.an.instanceOf(ApiError)
      .and.include({ code: 'idempotency_in_progress' });
    const foreign = new Error('anything else');
    expect(claim.explain(foreign)).to.equal(foreign);
  });
});
