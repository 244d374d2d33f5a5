/** The part of the store contract about copies from one store to another, of the same engine or not. */
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { collections } from '../../../src/data/connector.js';
import { copyStore, CopyRefused, isEqual } from '../../../src/data/copy.js';
import { instances } from '../../../src/data/instance.js';
import { migrateStore } from '../../../src/data/migration/index.js';
import { insert, remove, replace, type Store, type Write } from '../../../src/data/store/port.js';
import { silentLog } from '../../../src/model/log.js';
import { failureOf } from '../../support/eventually.js';
import { instanceRecord } from '../../support/rows.js';
import { fill } from '../../support/things.js';

/** Opens a store of the real collections; every call gives another, empty one. */
export interface CopyFixture {
  open(): Promise<Store>;
  clear(): Promise<void>;
}

const quiet = () => undefined;

/** Passes everything on, and ends like a killed process after so many writes. */
function dyingAfter(store: Store, writes: number): Store {
  let left = writes;
  return new Proxy(store, {
    get(target, name) {
      if (name === 'write') {
        return (batch: Write[]) => {
          left -= 1;
          return left < 0 ? Promise.reject(new Error('killed')) : target.write(batch);
        };
      }
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}

/** `seeded` instances make more than one batch of a copy. */
export function copyContract(
  name: string,
  makeFrom: () => CopyFixture,
  makeTo: () => CopyFixture,
  seeded = 1300,
): void {
  describe(`a copy of a store: ${name}`, function () {
    this.timeout(60_000);
    const copied = seeded - 1;
    let fixtures: CopyFixture[];
    let from: Store;
    let to: Store;

    beforeEach(async () => {
      fixtures = [makeFrom(), makeTo()];
      [from, to] = (await Promise.all(fixtures.map((fixture) => fixture.open()))) as [Store, Store];
      await fill(from, seeded);
      const [first, second] = await from.page(instances, { order: 'id', limit: 2 });
      if (first === undefined || second === undefined) throw new Error('the seed is not there');
      await from.write([replace(instances, first, first.value), remove(instances, second)]);
    });
    afterEach(async () => {
      await from.close();
      await to.close();
      for (const fixture of fixtures) await fixture.clear();
    });

    const page = { order: 'name', limit: 1000, has: { tags: ['n=3'] } };

    it('has every document with its revision, answers alike, and is what the digests say', async () => {
      const compared = await copyStore(from, to, collections, quiet);
      expect(compared.every(isEqual)).to.equal(true);
      const told = Object.fromEntries(compared.map((one) => [one.collection, one.to.count]));
      expect(told).to.include({ instances: copied, tasks: seeded, secrets: 1 });
      expect(compared.find(({ collection }) => collection === 'instances')?.to.digest).to.match(
        /^[0-9a-f]{64}$/,
      );
      const [first] = await to.page(instances, { order: 'id', limit: 1 });
      expect(first?.revision).to.equal(2);
      expect(await to.pageTexts(instances, page)).to.deep.equal(await from.pageTexts(instances, page));
      expect(await to.changeRange()).to.deep.equal({ first: 0, last: 0 });
      await migrateStore(to, silentLog);
    });

    it('goes on after a kill, doubles nothing, and until it has ended nobody can start on it', async () => {
      expect((await failureOf(copyStore(from, dyingAfter(to, 3), collections, quiet))).message).to.equal(
        'killed',
      );
      const half = await to.count(instances, {});
      expect(half).to.be.within(1, copied - 1);
      expect((await failureOf(migrateStore(to, silentLog))).message).to.match(/unfinished copy.*again/);
      const compared = await copyStore(from, to, collections, quiet);
      expect(compared.every(isEqual)).to.equal(true);
      expect(await to.count(instances, {})).to.equal(copied);
      await migrateStore(to, silentLog);
    });

    it('follows what changed in the source while it was interrupted', async () => {
      await failureOf(copyStore(from, dyingAfter(to, 3), collections, quiet));
      const [first, second] = await from.page(instances, { order: 'id', limit: 2 });
      if (first === undefined || second === undefined) throw new Error('the seed is not there');
      await from.write([
        replace(instances, first, { ...first.value, description: 'changed' }),
        remove(instances, second),
      ]);
      const compared = await copyStore(from, to, collections, quiet);
      expect(compared.every(isEqual)).to.equal(true);
      expect((await to.get(instances, first.id))?.value.description).to.equal('changed');
      expect(await to.get(instances, second.id)).to.be.undefined;
    });

    it('follows unique keys that went from one document to another while it was interrupted', async () => {
      await failureOf(copyStore(from, dyingAfter(to, 3), collections, quiet));
      const [first, second] = await from.page(instances, { order: 'id', limit: 2 });
      if (first === undefined || second === undefined) throw new Error('the seed is not there');
      const { name, projectId } = second.value;
      await from.write([remove(instances, second)]);
      await from.write([replace(instances, first, { ...first.value, name, projectId })]);
      const compared = await copyStore(from, to, collections, quiet);
      expect(compared.every(isEqual)).to.equal(true);
      expect((await to.get(instances, first.id))?.value.name).to.equal(name);
    });

    it('takes documents of which a page is more than any engine stores at once', async () => {
      const description = 'x'.repeat(2_000_000);
      for (let index = 0; index < 4; index += 1)
        await from.write([
          insert(instances, uuidv7(), instanceRecord({ name: `large-${index}`, description })),
        ]);
      const compared = await copyStore(from, to, collections, quiet);
      expect(compared.every(isEqual)).to.equal(true);
      expect(await to.count(instances, {})).to.equal(copied + 4);
    });

    it('is only compared once it is finished, and a difference is told', async () => {
      await copyStore(from, to, collections, quiet);
      const [first] = await to.page(instances, { order: 'id', limit: 1 });
      if (first === undefined) throw new Error('the copy is empty');
      await to.write([replace(instances, first, { ...first.value, description: 'other' })]);
      const compared = await copyStore(from, to, collections, quiet);
      const differing = compared.filter((one) => !isEqual(one)).map(({ collection }) => collection);
      expect(differing).to.deep.equal(['instances']);
      expect((await to.get(instances, first.id))?.value.description).to.equal('other');
    });

    it('refuses a target with other data, and a copy of another store', async () => {
      await fill(to, 1);
      const before = await to.page(instances, { order: 'id', limit: 10 });
      const refusal = await failureOf(copyStore(from, to, collections, quiet));
      expect(refusal).to.be.instanceOf(CopyRefused);
      expect(refusal.message).to.include('other data');
      expect(await to.page(instances, { order: 'id', limit: 10 })).to.deep.equal(before);
    });
  });
}
