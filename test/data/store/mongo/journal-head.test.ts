/** What the journal takes for its end while its own process commits: readers of the change log go on from there. */
import { expect } from 'chai';
import { type Collection, type Db, type Document, MongoClient } from 'mongodb';
import { type ChangeDocument, changesName } from '../../../../src/data/store/mongo/change-log.js';
import { type Entry, entryId } from '../../../../src/data/store/mongo/entry.js';
import { Journal } from '../../../../src/data/store/mongo/journal.js';
import { eventually } from '../../../support/eventually.js';
import { dropDatabase, freshDatabase, mongoMissing } from '../../../support/mongo.js';

/** Holds calls back until they are let through. */
class Gate {
  open = true;
  #held: { call: unknown; release: () => void }[] = [];

  async pass(call: unknown): Promise<void> {
    if (this.open) return;
    await new Promise<void>((resolve) => this.#held.push({ call, release: resolve }));
  }

  /** Waits until a call that fits is held. */
  async waits(fits: (call: unknown) => boolean = () => true): Promise<void> {
    await eventually(() => this.#held.some(({ call }) => fits(call)), { what: 'a call' });
  }

  openForAll(): void {
    this.open = true;
    this.let(() => true);
  }

  /** Lets those through that fit. */
  let(fits: (call: unknown) => boolean): void {
    const [through, held] = [true, false].map((yes) => this.#held.filter(({ call }) => fits(call) === yes));
    this.#held = held ?? [];
    for (const { release } of through ?? []) release();
  }
}

/** The database, on which the named methods of collections wait at their gate. */
function gated(db: Db, gateOf: (collection: string, method: string) => Gate | undefined): Db {
  const collection = (name: string) =>
    new Proxy(db.collection(name), {
      get(target: Collection, method: string) {
        const plain: unknown = Reflect.get(target, method);
        if (typeof plain !== 'function') return plain;
        const gate = gateOf(name, method);
        const call = (...args: unknown[]): unknown => Reflect.apply(plain, target, args);
        if (gate === undefined) return call;
        return async (...args: unknown[]) => {
          // The answer is held back, not the question.
          const answer = method === 'findOne' ? await call(...args) : undefined;
          await gate.pass(args[0]);
          return method === 'findOne' ? answer : call(...args);
        };
      },
    });
  return new Proxy(db, {
    get: (target, name) => (name === 'collection' ? collection : (Reflect.get(target, name) as unknown)),
  });
}

/** An entry that only adds a change. */
function entry(number: number): Entry {
  const text = String(number);
  const to = { _id: text, revision: 1, stamp: `${text}.0`, value: '{}', public: text };
  return {
    _id: entryId(number),
    token: text,
    time: Date.now(),
    applied: false,
    last: number,
    steps: [{ collection: 'counters', id: text, from: null, to }],
    changes: [{ step: 0, op: 'insert', revision: 1, scope: null }],
  };
}

const isOf = (number: number) => (call: unknown) => (call as Document[])[0]?.['_id'] === number;

describe('the end of the journal', function () {
  const [reads, changes] = [new Gate(), new Gate()];
  let address: string;
  let client: MongoClient;
  let journal: Journal;

  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, the end of the journal on MongoDB: ${missing}\n`);
    this.skip();
  });
  beforeEach(async () => {
    address = await freshDatabase();
    client = await new MongoClient(address).connect();
    const gateOf = (name: string, method: string) => {
      if (method === 'findOne') return reads;
      return method === 'insertMany' && name === changesName ? changes : undefined;
    };
    journal = new Journal(gated(client.db(), gateOf), undefined);
  });
  afterEach(async () => {
    for (const gate of [reads, changes]) gate.openForAll();
    await journal.close();
    await client.close();
    await dropDatabase(address);
  });

  it('is, for a reader, no entry that its own process has begun in the meantime', async () => {
    const empty = await journal.head();
    [reads.open, changes.open] = [false, false];
    const asked = journal.head();
    await reads.waits();
    const first = journal.commit(empty, entry(1));
    await changes.waits(isOf(1));
    reads.openForAll();
    // A reader that completes the entry itself holds a second write of it.
    await new Promise(setImmediate);
    changes.let(isOf(1));
    await first;
    const second = journal.commit({ number: 1, last: 1 }, entry(2));
    await changes.waits(isOf(2));
    changes.let(isOf(1));
    const { last } = await asked;
    const written = client.db().collection<ChangeDocument>(changesName);
    expect(await written.countDocuments({ _id: { $lte: last } })).to.equal(last);
    changes.openForAll();
    await second;
    expect(await journal.head()).to.deep.equal({ number: 2, last: 2 });
  });
});
