/** The part of the store contract about its edges: signals that abort, several keys that are taken, nulls in lists. */
import { expect } from 'chai';
import { insert, replace, type Store } from '../../../src/data/store/port.js';
import { conflictOf, type StoreFixture, thing, things } from './bench.js';
import { failureOf } from '../../support/eventually.js';

export function edgeContract(makeFixture: () => StoreFixture): void {
  let fixture: StoreFixture;
  let store: Store;

  beforeEach(async () => {
    fixture = makeFixture();
    store = await fixture.open();
  });
  afterEach(async () => {
    await store.close();
    await fixture.clear();
  });

  describe('a signal', () => {
    const operations: Record<string, (signal?: AbortSignal) => Promise<unknown>> = {
      get: (signal) => store.get(things, 'a', signal),
      text: (signal) => store.text(things, 'a', 'group_id', signal),
      find: (signal) => store.find(things, 'name', ['g', 'n'], signal),
      page: (signal) => store.page(things, { order: 'id', limit: 2 }, signal),
      pageTexts: (signal) => store.pageTexts(things, { order: 'id', limit: 2 }, signal),
      count: (signal) => store.count(things, {}, signal),
      changes: (signal) => store.changes({ after: 0, limit: 2 }, signal),
    };

    for (const [name, operation] of Object.entries(operations)) {
      it(`that has aborted ends ${name} with its reason, and one that has not changes nothing`, async () => {
        await store.write([insert(things, 'a', thing())]);
        const reason = new Error('no longer wanted');
        expect(await failureOf(operation(AbortSignal.abort(reason)))).to.equal(reason);
        expect(await operation(new AbortController().signal)).to.deep.equal(await operation());
      });
    }

    it('that has aborted keeps a write from happening', async () => {
      const reason = new Error('no longer wanted');
      const writing = store.write([insert(things, 'a', thing())], AbortSignal.abort(reason));
      expect(await failureOf(writing)).to.equal(reason);
      expect(await store.get(things, 'a')).to.be.undefined;
      expect((await store.lastChange()).position).to.equal(0);
      await store.write([insert(things, 'a', thing())], new AbortController().signal);
      expect((await store.get(things, 'a'))?.revision).to.equal(1);
    });

    it('that aborts while a write is under way leaves no doubt: it is refused and absent, or answered and there', async () => {
      for (let turns = 0; turns < 4; turns += 1) {
        const id = `id-${turns}`;
        const controller = new AbortController();
        const writing = store.write([insert(things, id, thing({ name: id }))], controller.signal);
        const outcome = writing.then(
          () => true,
          () => false,
        );
        for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
        controller.abort(new Error('no longer wanted'));
        const stored = await outcome;
        expect((await store.get(things, id)) !== undefined, id).to.equal(stored);
      }
    });
  });

  describe('a write that breaks several keys', () => {
    it('names the first: the id, then the unique keys in the order of their declaration', async () => {
      await store.write([
        insert(things, 'a', thing({ name: 'a', serial: 'x' })),
        insert(things, 'b', thing({ name: 'b', serial: 'y' })),
      ]);
      const keyOf = async (...writes: Parameters<Store['write']>[0]) =>
        (await conflictOf(store.write(writes))).key;
      expect(await keyOf(insert(things, 'a', thing({ name: 'b', serial: 'y' })))).to.equal('id');
      expect(await keyOf(insert(things, 'c', thing({ name: 'a', serial: 'y' })))).to.equal('name');
      expect(await keyOf(insert(things, 'c', thing({ name: 'c', serial: 'y' })))).to.equal('serial');
      const a = { id: 'a', revision: 1, value: thing() };
      expect(await keyOf(replace(things, a, thing({ name: 'b', serial: 'y' })))).to.equal('name');
      expect(await keyOf(replace(things, a, thing({ name: 'a', serial: 'y' })))).to.equal('serial');
      const fresh = thing({ name: 'd', serial: 'z' });
      expect(await keyOf(insert(things, 'd', fresh), insert(things, 'e', fresh))).to.equal('name');
    });
  });

  describe('a list of values to filter by', () => {
    it('holds no null: it is refused, where one engine would find it and another would not', async () => {
      const filter = { group_id: [null, 'g'] as unknown as string[] };
      for (const reading of [
        () => store.count(things, { filter }),
        () => store.page(things, { order: 'rank', filter, limit: 2 }),
        () => store.pageTexts(things, { order: 'id', filter, limit: 2 }),
        () =>
          store.page(things, { order: 'id', filter: { group_id: [null] as unknown as string[] }, limit: 2 }),
      ])
        expect((await failureOf(reading)).message).to.match(/contains null/);
    });
  });
}
