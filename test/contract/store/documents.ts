/** The part of the store contract about single documents and batches of writes. */
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { check, insert, remove, replace, type Store, type Write } from '../../../src/data/store/port.js';
import { failureOf } from '../../support/eventually.js';
import { conflictOf, counters, type StoreFixture, thing, things } from './bench.js';

/** Texts that have broken databases, drivers and JSON at some time. */
const hostile = [
  '$where',
  '{"$gt":""}',
  '__proto__',
  'constructor',
  "'; DROP TABLE things; --",
  '"',
  '\\',
  '`',
  '%',
  '_',
  '',
  ' ',
  'a\u0000b',
  '\u0000',
  '\n',
  '\u2028',
  'ä',
  '𝄞',
  '\ufeff',
  '\uffff',
  'NULL',
  '0',
  '1e3',
  '-0',
  'x'.repeat(2000),
];

/** Binary data as people put it into texts, by what it is. */
function binaryTexts(): Map<string, string> {
  const units = (from: number, to: number) =>
    String.fromCharCode(...Array.from({ length: to - from }, (_, index) => from + index));
  const texts = new Map([
    ['every byte as latin1', units(0, 256)],
    ['random bytes as latin1', randomBytes(100_000).toString('latin1')],
    ['nothing but NUL', '\u0000'.repeat(1000)],
  ]);
  for (let from = 0; from < 65_536; from += 4096)
    texts.set(`code units from ${from.toString(16)}`, units(from, from + 4096));
  for (const bytes of [0, 1, 2, 3, 255, 65_537, 786_432])
    texts.set(`${bytes} bytes as base64`, randomBytes(bytes).toString('base64'));
  return texts;
}

export function documentContract(makeFixture: () => StoreFixture): void {
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

  const put = async (id: string, change = {}) => {
    await store.write([insert(things, id, thing({ name: id, ...change }))]);
    const found = await store.get(things, id);
    if (found === undefined) throw new Error(`${id} is not there`);
    return found;
  };

  describe('a document', () => {
    it('comes back as it was written, with revision 1', async () => {
      const value = thing({
        tags: ['b', 'a'],
        payload: { deep: [1, 'two', null, { three: 3.5 }], empty: {} },
      });
      await store.write([insert(things, 'one', value)]);
      expect(await store.get(things, 'one')).to.deep.equal({ id: 'one', revision: 1, value });
    });

    it('has its public text beside it, made at each write', async () => {
      const document = await put('one', { rank: 3 });
      expect(await store.text(things, 'one', 'rank')).to.deep.equal({
        text: '{"id":"one","name":"one","rank":3}',
        revision: 1,
        column: 3,
      });
      await store.write([replace(things, document, { ...document.value, rank: 4 })]);
      expect(await store.text(things, 'one', 'rank')).to.deep.equal({
        text: '{"id":"one","name":"one","rank":4}',
        revision: 2,
        column: 4,
      });
    });

    it('is undefined when it is absent', async () => {
      expect(await store.get(things, 'none')).to.be.undefined;
      expect(await store.text(things, 'none', 'rank')).to.be.undefined;
      expect(await store.find(things, 'name', ['g', 'none'])).to.be.undefined;
    });

    it('takes no second one of its id', async () => {
      await put('one');
      const conflict = await conflictOf(store.write([insert(things, 'one', thing({ name: 'other' }))]));
      expect(conflict).to.include({ kind: 'unique', collection: 'things', key: 'id' });
      expect((await store.get(things, 'one'))?.value.name).to.equal('one');
    });

    it('may have the id of a document of another collection', async () => {
      await put('one');
      await store.write([insert(counters, 'one', { count: 1 })]);
      expect((await store.get(counters, 'one'))?.value).to.deep.equal({ count: 1 });
    });

    it('grows its revision by one with each replace', async () => {
      let document = await put('one');
      for (let revision = 2; revision < 6; revision += 1) {
        await store.write([replace(things, document, { ...document.value, rank: revision })]);
        document = (await store.get(things, 'one')) ?? document;
        expect(document).to.deep.include({ revision, value: { ...document.value, rank: revision } });
      }
    });

    it('is as a batch has checked it, or nothing of the batch is stored', async () => {
      const old = await put('one');
      const gone = await put('gone');
      await store.write([check(things, old), insert(counters, 'beside', { count: 1 })]);
      expect(await store.get(things, 'one')).to.deep.equal(old);
      const told: string[] = [];
      store.watch((_collection, id) => told.push(id));
      await store.write([insert(counters, 'told', { count: 1 }), check(things, old)]);
      expect(told).to.deep.equal(['told']);
      await store.write([replace(things, old, { ...old.value, rank: 1 }), remove(things, gone)]);
      for (const seen of [old, gone, { ...gone, id: 'never' }]) {
        const batch = [insert(counters, 'late', { count: 1 }), check(things, seen)];
        expect(await conflictOf(store.write(batch))).to.include({ kind: 'revision', key: seen.id });
        expect(await store.get(counters, 'late')).to.be.undefined;
      }
      // Against the writes that share a commit with it, too.
      const now = await store.get(things, 'one');
      if (now === undefined) throw new Error('one is not there');
      const [changed, checked] = await Promise.allSettled([
        store.write([replace(things, now, { ...now.value, rank: 2 })]),
        store.write([check(things, now), insert(counters, 'late', { count: 1 })]),
      ]);
      expect([changed.status, checked.status]).to.deep.equal(['fulfilled', 'rejected']);
    });

    it('is neither replaced nor removed by one who saw an older revision', async () => {
      const old = await put('one');
      await store.write([replace(things, old, { ...old.value, rank: 1 })]);
      for (const write of [replace(things, old, { ...old.value, rank: 2 }), remove(things, old)]) {
        expect(await conflictOf(store.write([write]))).to.include({
          kind: 'revision',
          collection: 'things',
          key: 'one',
        });
      }
      expect(await store.get(things, 'one')).to.deep.include({
        revision: 2,
        value: { ...old.value, rank: 1 },
      });
    });

    it('that is absent cannot be replaced or removed', async () => {
      const gone = await put('one');
      await store.write([remove(things, gone)]);
      expect(await store.get(things, 'one')).to.be.undefined;
      for (const write of [replace(things, gone, gone.value), remove(things, gone)]) {
        expect(await conflictOf(store.write([write]))).to.include({ kind: 'revision', key: 'one' });
      }
    });

    it('of 1 MiB is kept whole', async () => {
      const payload = 'ä🌲"\\'.repeat(130_000);
      await put('large', { payload });
      expect((await store.get(things, 'large'))?.value.payload).to.equal(payload);
    });

    it('keeps hostile texts as id, as value, as column and as item of a set', async () => {
      for (const text of hostile) {
        const value = thing({
          name: text,
          group: text,
          serial: text,
          tags: [text],
          payload: { [text]: text },
        });
        await store.write([insert(things, text, value)]);
        const label = JSON.stringify(text.slice(0, 20));
        expect(await store.get(things, text), label).to.deep.equal({ id: text, revision: 1, value });
        expect((await store.find(things, 'name', [text, text]))?.id, label).to.equal(text);
        const page = await store.page(things, {
          order: 'id',
          filter: { name: text },
          has: { tags: [text] },
          limit: 2,
        });
        expect(
          page.map((document) => document.id),
          label,
        ).to.deep.equal([text]);
      }
      expect(await store.count(things, {})).to.equal(hostile.length);
      expect(({} as Record<string, unknown>)['polluted']).to.be.undefined;
    });

    it('keeps binary data exactly, whichever way it is written and read', async () => {
      const texts = binaryTexts();
      await store.write([...texts].map(([id, payload]) => insert(things, id, thing({ name: id, payload }))));
      const same = (id: string, way: string, payload: unknown, key?: unknown) => {
        // Told by its name: a mebibyte of difference helps nobody.
        expect(payload === texts.get(id), `${id}, by ${way}`).to.equal(true);
        if (key !== undefined) expect(key === texts.get(id), `${id} as a key, by ${way}`).to.equal(true);
      };
      interface Shown {
        id: string;
        payload: unknown;
      }
      const replaces: Write[] = [];
      for (const [id, payload] of texts) {
        const found = await store.get(things, id);
        if (found === undefined) throw new Error(`${id} is not there`);
        same(id, 'get', found.value.payload);
        same(id, 'text', (JSON.parse((await store.text(things, id, 'rank'))?.text ?? '') as Shown).payload);
        replaces.push(replace(things, found, { ...found.value, payload: { [payload]: payload } }));
      }
      await store.write(replaces);
      const keyed = (id: string, way: string, payload: unknown) => {
        const [[key, value] = []] = Object.entries(payload as Record<string, unknown>);
        same(id, way, value, key);
      };
      const rows = await store.page(things, { order: 'id', limit: 100 });
      expect(rows).to.have.length(texts.size);
      for (const { id, value } of rows) keyed(id, 'page', value.payload);
      const { body } = await store.pageTexts(things, { order: 'id', limit: 100 });
      for (const { id, payload } of JSON.parse(body.toString()) as Shown[])
        keyed(id, 'the texts of a page', payload);
      const { changes } = await store.changes({ after: 0, limit: 100 });
      expect(changes).to.have.length(2 * texts.size);
      for (const { id, revision, text } of changes) {
        const { payload } = JSON.parse(text ?? '') as Shown;
        if (revision === 1) same(id, 'the change log', payload);
        else keyed(id, 'the change log', payload);
      }
    }).timeout(60_000);

    it('keeps every byte as latin1 as id, column and item of a set', async () => {
      const latin1 = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1');
      const value = thing({ name: latin1, group: latin1, tags: [latin1, ...Array.from(latin1)] });
      await store.write([insert(things, latin1, value)]);
      expect(await store.get(things, latin1)).to.deep.equal({ id: latin1, revision: 1, value });
      expect((await store.find(things, 'name', [latin1, latin1]))?.id).to.equal(latin1);
      for (const tag of value.tags)
        expect(await store.count(things, { filter: { name: latin1 }, has: { tags: [tag] } })).to.equal(1);
    });

    it('keeps a value with half a surrogate, which UTF-8 cannot hold, exactly', async () => {
      const payload = { text: '\ud800', 'key\udfff': 'x\udc00y' };
      await put('halves', { payload });
      expect((await store.get(things, 'halves'))?.value.payload).to.deep.equal(payload);
    });

    it('with half a surrogate in a column or set is refused, or can be found, replaced and removed like any other', async () => {
      const value = thing({ name: '\ud800', tags: ['\ud800', '\ud801'] });
      try {
        await store.write([insert(things, 'half', value)]);
      } catch {
        expect(await store.count(things, {})).to.equal(0);
        return;
      }
      const document = await store.get(things, 'half');
      if (document === undefined) throw new Error('it is not there');
      expect((await store.find(things, 'name', ['g', '\ud800']))?.id).to.equal('half');
      await store.write([replace(things, document, { ...value, rank: 1 })]);
      await store.write([replace(things, { ...document, revision: 2 }, { ...value, tags: [] })]);
      await store.write([remove(things, { ...document, revision: 3 })]);
      expect(await store.count(things, { has: { tags: ['\ud801'] } })).to.equal(0);
    });
  });

  describe('a unique key', () => {
    it('of several columns finds its document and refuses a second one, by name', async () => {
      await put('one', { group: 'a', name: 'x' });
      await put('two', { group: 'b', name: 'x' });
      await put('three', { group: 'a', name: 'y' });
      expect((await store.find(things, 'name', ['b', 'x']))?.id).to.equal('two');
      const second = insert(things, 'four', thing({ group: 'a', name: 'x' }));
      expect(await conflictOf(store.write([second]))).to.include({
        kind: 'unique',
        collection: 'things',
        key: 'name',
      });
    });

    it('says which of several keys was taken', async () => {
      await put('one', { serial: 's' });
      const second = insert(things, 'two', thing({ name: 'two', serial: 's' }));
      expect(await conflictOf(store.write([second]))).to.include({ kind: 'unique', key: 'serial' });
    });

    it('leaves out documents with a null in it', async () => {
      await put('one', { serial: null });
      await put('two', { serial: null });
      await put('three', { group: null, name: 'x' });
      await put('four', { group: null, name: 'x' });
      expect(await store.count(things, {})).to.equal(4);
      expect(await store.find(things, 'serial', [null])).to.be.undefined;
    });

    it('refuses a replace that would take another’s, and lets a document keep its own', async () => {
      await put('one', { name: 'x' });
      const two = await put('two', { name: 'y' });
      expect(await conflictOf(store.write([replace(things, two, { ...two.value, name: 'x' })]))).to.include({
        key: 'name',
      });
      await store.write([replace(things, two, { ...two.value, rank: 9 })]);
    });

    it('is free again after a remove and after a change', async () => {
      const one = await put('one', { name: 'x' });
      await store.write([remove(things, one)]);
      const two = await put('two', { name: 'x' });
      await store.write([replace(things, two, { ...two.value, name: 'z' })]);
      await put('three', { name: 'x' });
      expect((await store.find(things, 'name', ['g', 'x']))?.id).to.equal('three');
    });

    it('moves from one document to another within one batch', async () => {
      const one = await put('one', { name: 'x' });
      await store.write([remove(things, one), insert(things, 'two', thing({ name: 'x' }))]);
      expect((await store.find(things, 'name', ['g', 'x']))?.id).to.equal('two');
    });

    it('that is not declared is a mistake of the caller', async () => {
      expect((await failureOf(store.find(things, 'nonsense', ['x']))).message).to.include('nonsense');
    });
  });

  describe('a batch', () => {
    it('over several collections is stored as one', async () => {
      const one = await put('one');
      await store.write([
        replace(things, one, { ...one.value, rank: 1 }),
        insert(things, 'two', thing({ name: 'two' })),
        insert(counters, 'c', { count: 1 }),
      ]);
      expect((await store.get(things, 'one'))?.value.rank).to.equal(1);
      expect(await store.count(things, {})).to.equal(2);
      expect(await store.count(counters, {})).to.equal(1);
    });

    it('that fails anywhere leaves nothing behind, neither documents nor set items nor news', async () => {
      const one = await put('one', { tags: ['old'] });
      const failing = [
        insert(things, 'one', thing()),
        replace(things, { ...one, revision: 7 }, one.value),
        remove(things, { ...one, id: 'none' }),
      ];
      const news: string[] = [];
      store.watch((_collection, id) => news.push(id));
      for (const last of failing) {
        await conflictOf(
          store.write([
            insert(counters, 'c', { count: 1 }),
            replace(things, one, { ...one.value, tags: ['new'] }),
            insert(things, 'two', thing({ name: 'two', tags: ['new'] })),
            last,
          ]),
        );
        expect(await store.count(counters, {})).to.equal(0);
        expect(await store.count(things, {})).to.equal(1);
        expect(await store.count(things, { has: { tags: ['new'] } })).to.equal(0);
        expect(await store.count(things, { has: { tags: ['old'] } })).to.equal(1);
        expect(await store.get(things, 'one')).to.deep.equal(one);
      }
      expect(news).to.deep.equal([]);
    });

    it('of nothing changes nothing', async () => {
      await store.write([]);
      expect(await store.count(things, {})).to.equal(0);
    });

    it('is told to watchers, each document once, until they stop watching', async () => {
      const news: string[] = [];
      const stop = store.watch((collection, id) => news.push(`${collection} ${id}`));
      await store.write([insert(things, 'one', thing()), insert(counters, 'c', { count: 0 })]);
      const one = await store.get(things, 'one');
      if (one !== undefined) await store.write([remove(things, one)]);
      expect(news).to.deep.equal(['things one', 'counters c', 'things one']);
      stop();
      await store.write([insert(things, 'two', thing())]);
      expect(news).to.have.length(3);
    });
  });
}
