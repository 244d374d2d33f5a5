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
              const { body, ...rest } = await keeping.pageTexts(things, query);
              const { body: true_, ...expected } = await plain.pageTexts(things, query);
              expect(body.toString()).to.equal(true_.toString());
              expect(rest).to.deep.equal(expected);
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

  it('take no more memory than they may, drop the least recently used first, and none outlives its collection’s write', () => {
    const kept = new KeptPages(40_000);
    let reads = 0;
    const read = (key: string, bytes = 4000, collection = 'a', epoch = 1) =>
      kept.through(collection, key, epoch, () => {
        reads += 1;
        return { body: Buffer.alloc(bytes), more: false };
      });
    const cost = (key: string, bytes?: number, collection?: string, epoch?: number) => {
      const before = reads;
      read(key, bytes, collection, epoch);
      return reads - before;
    };
    for (const key of ['1', '2', '3', '4', '5', '6', '7', '8']) expect(cost(key)).to.equal(1);
    expect(cost('1')).to.equal(0);
    expect(cost('9')).to.equal(1);
    expect(kept.bytes).to.be.at.most(40_000);
    expect(cost('1'), 'used a moment ago').to.equal(0);
    expect(cost('2'), 'used longest ago').to.equal(1);
    expect(cost('huge', 6000)).to.equal(1);
    expect(cost('huge', 6000), 'too large to be kept').to.equal(1);
    expect(cost('x', 100, 'b')).to.equal(1);
    kept.forget('a');
    expect(cost('x', 100, 'b')).to.equal(0);
    expect(cost('9')).to.equal(1);
    expect(cost('x', 100, 'b', 2), 'somebody else has written').to.equal(1);
    kept.forget('a');
    kept.forget('b');
    expect(kept.bytes).to.equal(0);
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
