/** The look at all instances of a region, on a real store. */
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { ObservationData } from '../../src/data/observation.js';
import { insert } from '../../src/data/store/port.js';
import { instanceRecord, regionId } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

describe('the look at all instances of a region', () => {
  it('finds each once, and lets others have their turn between its pages', async () => {
    const store = await openTestStore();
    try {
      const ids = Array.from({ length: 350 }, () => uuidv7()).sort();
      const wanted = ids.filter((_, index) => index % 7 !== 0);
      await store.write(
        ids.map((id, index) => {
          const region = index % 7 === 0 ? uuidv7() : regionId;
          return insert(instances, id, instanceRecord({ name: `n-${index}`, regionId: region }));
        }),
      );
      const data = new ObservationData(store);
      let turns = 0;
      let others = setImmediate(function take() {
        turns += 1;
        others = setImmediate(take);
      });
      const found: string[] = [];
      const sizes: number[] = [];
      for await (const page of data.instances(regionId, new AbortController().signal)) {
        found.push(...page.map(({ id }) => id));
        sizes.push(page.length);
      }
      clearImmediate(others);
      expect(found).to.deep.equal(wanted);
      expect(sizes).to.deep.equal([100, 100, 100]);
      expect(turns).to.be.at.least(sizes.length - 1);
    } finally {
      await store.close();
    }
  });
});
