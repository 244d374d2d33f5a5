/** The look at all instances of a region, on a real store. */
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { ObservationData } from '../../src/data/observation.js';
import { insert, replace, type Store } from '../../src/data/store/port.js';
import { failureOf } from '../support/eventually.js';
import { instanceRecord, regionId } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

/** Keeps the processor busy for so many ms. */
function work(milliseconds: number): void {
  const { user, system } = process.cpuUsage();
  for (;;) {
    const now = process.cpuUsage();
    if (now.user + now.system - user - system >= milliseconds * 1000) return;
  }
}

describe('the look at all instances of a region', () => {
  let store: Store;
  let wanted: string[];

  before(async () => {
    store = await openTestStore();
    const ids = Array.from({ length: 400 }, () => uuidv7()).sort();
    wanted = ids.filter((_, index) => index % 7 !== 0);
    await store.write(
      ids.map((id, index) => {
        const region = index % 7 === 0 ? uuidv7() : regionId;
        return insert(instances, id, instanceRecord({ name: `n-${index}`, regionId: region }));
      }),
    );
  });
  after(() => store.close());

  it('finds each once, and rests between its pages four times as long as the processor worked', async () => {
    let turns = 0;
    let others = setImmediate(function take() {
      turns += 1;
      others = setImmediate(take);
    });
    const began = performance.now();
    const found: string[] = [];
    const sizes: number[] = [];
    for await (const page of new ObservationData(store).instances(regionId, new AbortController().signal)) {
      found.push(...page.map(({ id }) => id));
      sizes.push(page.length);
      work(10);
    }
    clearImmediate(others);
    expect(found).to.deep.equal(wanted);
    expect(sizes).to.deep.equal([100, 100, 100, wanted.length - 300]);
    expect(turns).to.be.at.least(3);
    // Of the timers' precision, a millisecond each.
    expect(performance.now() - began).to.be.at.least(4 * 10 + 3 * 39);
  });

  it('ends with the reason of its signal, while it rests or reads', async () => {
    const stopping = new AbortController();
    const reason = new Error('stopping');
    const look = new ObservationData(store).instances(regionId, stopping.signal);
    expect((await look.next()).done).to.be.false;
    work(100);
    const resting = failureOf(look.next());
    setImmediate(() => stopping.abort(reason));
    expect(await resting).to.equal(reason);
    const again = new ObservationData(store).instances(regionId, stopping.signal);
    expect(await failureOf(again.next())).to.equal(reason);
  });
});

describe('what was seen of a machine', () => {
  it('is looked at again when the instance was written meanwhile: the end of a task has seen more', async () => {
    const store = await openTestStore();
    try {
      const id = uuidv7();
      await store.write([insert(instances, id, instanceRecord({ powerState: 'Queued' }))]);
      let rivals = 1;
      const racing = new Proxy(store, {
        get: (target, name) => {
          if (name !== 'get') return (Reflect.get(target, name) as () => unknown).bind(target);
          return async () => {
            const found = await target.get(instances, id);
            if (found !== undefined && rivals-- > 0)
              await target.write([replace(instances, found, { ...found.value, powerState: 'Running' })]);
            return found;
          };
        },
      });
      const seen = { id, powerState: 'Building' } as const;
      const again = () => Promise.resolve({ id, powerState: 'Running' } as const);
      await new ObservationData(racing).record({ id, seen, at: performance.now(), again });
      expect((await store.get(instances, id))?.value.powerState).to.equal('Running');
    } finally {
      await store.close();
    }
  });
});
