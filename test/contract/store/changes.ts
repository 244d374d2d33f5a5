/** The part of the store contract about the durable change log. */
import { expect } from 'chai';
import fc from 'fast-check';
import { type Change, insert, remove, replace, type Store } from '../../../src/data/store/port.js';
import { conflictOf, counters, type StoreFixture, thing, things } from './bench.js';

async function everything(store: Store, scopes?: readonly string[], limit = 7): Promise<Change[]> {
  const all: Change[] = [];
  for (let after = 0; ;) {
    const { changes, next } = await store.changes({
      after,
      limit,
      ...(scopes === undefined ? {} : { scopes }),
    });
    all.push(...changes);
    if (next === after) return all;
    after = next;
  }
}

export function changeContract(makeFixture: () => StoreFixture): void {
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

  describe('the change log', () => {
    it('is empty at first, and reading it moves nobody', async () => {
      expect(await store.changes({ after: 0, limit: 10 })).to.deep.equal({ changes: [], next: 0 });
      expect(await store.changeRange()).to.deep.equal({ first: 0, last: 0 });
    });

    it('tells the whole life of a document: what was written, whose it is, and the text of that moment', async () => {
      const started = Date.now();
      await store.write([insert(things, 'one', thing({ name: 'a', rank: 1 }))]);
      const first = { id: 'one', revision: 1, value: thing({ name: 'a', rank: 1 }) };
      await store.write([replace(things, first, thing({ name: 'b', rank: 2 }))]);
      const expiring = replace(things, { ...first, revision: 2 }, thing({ name: 'b', rank: 3 }));
      await store.write([{ ...expiring, loggedAs: 'expire' }]);
      await store.write([remove(things, { ...first, revision: 3 })]);
      const { changes, next } = await store.changes({ after: 0, limit: 10 });
      const told = changes.map(({ time, position, ...rest }) => rest);
      const base = { collection: 'things', id: 'one', scope: 'g' };
      expect(told).to.deep.equal([
        { ...base, op: 'insert', revision: 1, text: '{"id":"one","name":"a","rank":1}' },
        { ...base, op: 'replace', revision: 2, text: '{"id":"one","name":"b","rank":2}' },
        { ...base, op: 'expire', revision: 3, text: '{"id":"one","name":"b","rank":3}' },
        { ...base, op: 'remove', revision: 3, text: null },
      ]);
      for (const { time } of changes)
        expect(Date.parse(time)).to.be.within(started - 1000, Date.now() + 1000);
      const positions = changes.map((change) => change.position);
      expect(positions).to.deep.equal([...positions].sort((a, b) => a - b));
      expect(new Set(positions).size).to.equal(4);
      expect(next).to.equal(positions[3]);
    });

    it('has nothing of a batch that failed, of quiet writes and of collections that are not logged', async () => {
      await store.write([insert(things, 'one', thing({ name: 'a' })), insert(counters, 'c', { count: 1 })]);
      await conflictOf(
        store.write([
          insert(things, 'two', thing({ name: 'b' })),
          insert(things, 'three', thing({ name: 'a' })),
        ]),
      );
      const one = await store.get(things, 'one');
      if (one === undefined) throw new Error('not there');
      await store.write([
        { op: 'replace', collection: things, id: 'one', revision: 1, value: one.value, quiet: true },
      ]);
      expect((await store.get(things, 'one'))?.revision).to.equal(2);
      expect((await everything(store)).map(({ id, op }) => `${op} ${id}`)).to.deep.equal(['insert one']);
    });

    it('has an end that only logged writes move, and that trimming leaves where it is', async () => {
      expect((await store.lastChange()).position).to.equal(0);
      await store.write([
        insert(things, 'one', thing({ name: 'a' })),
        insert(things, 'two', thing({ name: 'b' })),
      ]);
      const { position } = await store.lastChange();
      expect(position).to.equal((await store.changeRange()).last);
      expect(position).to.equal((await everything(store)).at(-1)?.position);
      await store.write([insert(counters, 'c', { count: 1 })]);
      await store.trimChanges('2999-01-01T00:00:00.000Z');
      expect((await store.lastChange()).position).to.equal(position);
    });

    it('is read by scope: others are skipped, and the reader still gets on', async () => {
      await store.write(
        ['a', 'b', null, 'a', 'c', 'b'].map((group, index) =>
          insert(things, `id-${index}`, thing({ group, name: `n${index}` })),
        ),
      );
      expect((await everything(store, ['a', 'c'])).map(({ id }) => id)).to.deep.equal([
        'id-0',
        'id-3',
        'id-4',
      ]);
      expect(await everything(store, [])).to.deep.equal([]);
      expect(await everything(store, ['nobody'])).to.deep.equal([]);
      const { next } = await store.changes({ after: 0, limit: 10, scopes: ['nobody'] });
      expect(next).to.equal((await store.changeRange()).last);
    });

    it('is read by what was inserted into one collection: the rest is skipped, and the reader still gets on', async () => {
      await store.write([
        insert(things, 'one', thing({ name: 'a' })),
        insert(things, 'two', thing({ name: 'b' })),
      ]);
      await store.write([
        { op: 'replace', collection: things, id: 'one', value: thing({ name: 'c' }), revision: 1 },
      ]);
      const { changes } = await store.changes({ after: 0, limit: 10, insertedInto: 'things' });
      expect(changes.map(({ op, id }) => `${op} ${id}`)).to.deep.equal(['insert one', 'insert two']);
      const other = await store.changes({ after: 0, limit: 10, insertedInto: 'others' });
      expect(other).to.deep.equal({ changes: [], next: (await store.changeRange()).last });
    });

    it('forgets what is old and never uses a position again', async () => {
      await store.write([insert(things, 'one', thing({ name: 'a' }))]);
      const [old] = await everything(store);
      expect(await store.trimChanges('2000-01-01T00:00:00.000Z')).to.equal(0);
      expect(await store.trimChanges('2999-01-01T00:00:00.000Z')).to.equal(1);
      const { last } = await store.changeRange();
      expect(await store.changeRange()).to.deep.equal({ first: last + 1, last: old?.position });
      await store.write([insert(things, 'two', thing({ name: 'b' }))]);
      const [fresh] = await everything(store);
      expect(fresh?.id).to.equal('two');
      expect(fresh?.position).to.be.greaterThan(old?.position ?? 0);
      expect((await store.changeRange()).first).to.equal(fresh?.position);
    });

    it('misses nothing and tells nothing twice while writers are at work', async function () {
      this.timeout(60_000);
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 }),
          fc.integer({ min: 1, max: 9 }),
          async (batches, limit) => {
            const own = makeFixture();
            const shared = await own.open();
            try {
              const progress = { done: false };
              const writing = Promise.all(
                batches.map((size, batch) =>
                  shared.write(
                    Array.from({ length: size }, (_, item) =>
                      insert(things, `${batch}-${item}`, thing({ name: `n-${batch}-${item}` })),
                    ),
                  ),
                ),
              ).then(() => (progress.done = true));
              const seen: string[] = [];
              for (let after = 0, over = false; !over;) {
                // Asked before the read: what is written after it is for the next round.
                over = progress.done;
                await new Promise(setImmediate);
                const { changes, next } = await shared.changes({ after, limit });
                seen.push(...changes.map(({ id }) => id));
                if (next !== after) over = false;
                after = next;
              }
              await writing;
              const expected = batches.flatMap((size, batch) =>
                Array.from({ length: size }, (_, item) => `${batch}-${item}`),
              );
              expect([...seen].sort()).to.deep.equal(expected.sort());
            } finally {
              await shared.close();
              await own.clear();
            }
          },
        ),
        { numRuns: 20 },
      );
    });
  });
}
