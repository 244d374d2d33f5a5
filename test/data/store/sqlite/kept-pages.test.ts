/** Pages that a SQLite store keeps between two writes are never older than the last write, whoever made it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { insert, remove, replace } from '../../../../src/data/store/port.js';
import { KeptPages } from '../../../../src/data/store/sqlite/kept-pages.js';
import { SqliteStore } from '../../../../src/data/store/sqlite/sqlite.js';
import { collections, thing, things } from '../../../contract/store/bench.js';

describe('pages kept by a SQLite store', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'copse-test-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('are what a store that keeps none reads, after any writes of either', async () => {
    const steps = fc.array(
      fc.tuple(fc.nat(5), fc.constantFrom('put', 'remove', 'read', 'read', 'read'), fc.boolean()),
      { minLength: 1, maxLength: 40 },
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), async (todo, limit) => {
        run += 1;
        const file = join(folder, `${run}.sqlite`);
        const keeping = new SqliteStore(file, collections, { keptPages: 2 ** 20 });
        const plain = new SqliteStore(file, collections);
        try {
          for (const [index, [number, step, byOther]] of todo.entries()) {
            const store = byOther ? plain : keeping;
            const id = `id-${number}`;
            const found = await store.get(things, id);
            if (step === 'read') {
              const query = { order: 'id', limit, ...(number === 0 ? {} : { after: [id] }) };
              const { body: true_, ...expected } = await plain.pageTexts(things, query);
              // The second time it is kept, the third time it comes from memory.
              for (const time of [1, 2, 3]) {
                const { body, kept, ...rest } = await keeping.pageTexts(things, query);
                if (time > 1) expect(kept).to.equal(true);
                expect(body.toString()).to.equal(true_.toString());
                expect(rest).to.deep.equal(expected);
              }
            } else if (step === 'remove') {
              if (found !== undefined) await store.write([remove(things, found)]);
            } else {
              const value = thing({ name: id, rank: index });
              await store.write([
                found === undefined ? insert(things, id, value) : replace(things, found, value),
              ]);
            }
            // Another process's write counts from the next turn of the event loop on.
            await new Promise(setImmediate);
          }
        } finally {
          await keeping.close();
          await plain.close();
        }
      }),
      { numRuns: 40 },
    );
  });

  describe('as a memory', () => {
    let kept: KeptPages;
    let reads: number;

    beforeEach(() => {
      kept = new KeptPages(40_000);
      reads = 0;
    });

    /** Whether the page had to be read. */
    function isRead(key: string, { bytes = 700, collection = 'a', epoch = 1 } = {}): boolean {
      const before = reads;
      kept.through(collection, key, epoch, () => {
        reads += 1;
        return { body: Buffer.alloc(bytes), more: false };
      });
      return reads > before;
    }

    const keys = Array.from({ length: 33 }, (_, index) => `key ${index}`);
    const fill = () => [0, 1, 2].map(() => keys.map((key) => isRead(key)));

    it('keep what is asked for the second time, and say so', () => {
      const [first, second, third] = fill();
      expect(first?.every((read) => read)).to.equal(true);
      expect(second?.every((read) => read)).to.equal(true);
      expect(third?.some((read) => read)).to.equal(false);
      expect(kept.bytes).to.be.within(30_000, 40_000);
      const page = () => kept.through('b', 'k', 1, () => ({ body: Buffer.alloc(9), more: false }));
      expect(page().kept).to.equal(undefined);
      expect(page().kept).to.equal(undefined);
      kept.forget('a');
      expect(page().kept).to.equal(true);
      expect(page().kept).to.equal(true);
    });

    it('drop the least recently used first, and only for what is more in demand', () => {
      fill();
      expect(isRead('key 0'), 'used a moment ago').to.equal(false);
      // Asked for three times it is as much in demand as the others; the fourth time it drives one out.
      for (const time of [1, 2, 3, 4]) expect(isRead('new'), `new for the ${time}. time`).to.equal(true);
      expect(isRead('new'), 'more in demand').to.equal(false);
      expect(kept.bytes).to.be.at.most(40_000);
      const others = keys.filter((key) => key !== 'key 1');
      expect(others.filter((key) => isRead(key))).to.deep.equal([]);
      expect(isRead('key 1'), 'used longest ago').to.equal(true);
    });

    it('are not driven out by whoever walks through a long list, even again and again', () => {
      fill();
      for (let walk = 0; walk < 2; walk += 1)
        for (let page = 0; page < 500; page += 1) expect(isRead(`walk ${page}`)).to.equal(true);
      for (const key of keys) expect(isRead(key)).to.equal(false);
    });

    it('give way in the end to what is in demand now', () => {
      fill();
      for (let number = 0; number < 2000; number += 1) isRead(`passing ${number}`);
      for (const time of [1, 2]) expect(isRead('new'), `new for the ${time}. time`).to.equal(true);
      expect(isRead('new')).to.equal(false);
    });

    it('never outlive a write of their collection, nor one of somebody else', () => {
      for (const collection of ['a', 'b', 'a', 'b']) {
        isRead('x', { collection });
        isRead('key 1', { collection });
      }
      kept.forget('a');
      expect(isRead('x', { collection: 'b' })).to.equal(false);
      expect(isRead('key 1')).to.equal(true);
      expect(isRead('key 1'), 'in demand already').to.equal(false);
      expect(isRead('x', { collection: 'b', epoch: 2 })).to.equal(true);
      kept.forget('a');
      kept.forget('b');
      expect(kept.bytes).to.equal(0);
    });

    it('are no huge ones', () => {
      for (let time = 0; time < 5; time += 1) expect(isRead('huge', { bytes: 1000 })).to.equal(true);
    });
  });

  it('of size 0 are none', () => {
    const kept = new KeptPages(0);
    let reads = 0;
    for (let turn = 0; turn < 2; turn += 1)
      kept.through('a', 'k', 1, () => {
        reads += 1;
        return { body: Buffer.from('[]'), more: false };
      });
    expect(reads).to.equal(2);
    expect(kept.bytes).to.equal(0);
  });
});
