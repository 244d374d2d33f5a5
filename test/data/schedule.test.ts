import { expect } from 'chai';
import { ScheduleData, schedules, type Turn } from '../../src/data/schedule.js';
import { replace, type Store } from '../../src/data/store/port.js';
import { eventually, failureOf } from '../support/eventually.js';
import { faulty } from '../support/outage.js';
import { deadOwner, distantOwner } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

const every = 60_000;

describe('the turns at the site’s regular jobs', () => {
  let store: Store;

  const of = (owner: string, lease = 60_000) => new ScheduleData(store, owner, lease);
  const turn = async (data: ScheduleData, name = 'job'): Promise<Turn> => {
    const taken = await data.take(name, every);
    if ('wait' in taken) throw new Error(`it is not the turn of this process for ${taken.wait} ms`);
    return taken;
  };
  const waits = async (data: ScheduleData): Promise<number> => {
    const taken = await data.take('job', every);
    if (!('wait' in taken)) throw new Error('two have the turn');
    return taken.wait;
  };

  beforeEach(async () => {
    store = await openTestStore();
  });
  afterEach(() => store.close());

  it('go to one of many who ask at once; another job is another matter', async () => {
    const taken = await Promise.all(
      Array.from({ length: 10 }, (_, index) => of(distantOwner() + String(index)).take('job', every)),
    );
    expect(taken.filter((one) => !('wait' in one))).to.have.length(1);
    await turn(of('other'), 'other-job');
  });

  it('come again when the pause is over, to whoever asks first', async () => {
    const first = await turn(of(distantOwner()));
    expect(await waits(of('b'))).to.be.within(1, every);
    await first.end(every);
    expect(await waits(of('b'))).to.be.within(every - 1000, every);
    const document = await store.get(schedules, 'job');
    if (document === undefined) throw new Error('no document');
    await store.write([replace(schedules, document, { ...document.value, nextStart: Date.now() - 1 })]);
    await turn(of('b'));
  });

  it('do not wait for a time that only a wrong clock can have set', async () => {
    const first = await turn(of('a'));
    await first.end(48 * 3_600_000);
    await turn(of('b'));
  });

  it('pass on at once from a process that is dead, and after a lease from one that gives no sign', async () => {
    await turn(of(deadOwner()));
    await turn(of(distantOwner()));
    const patient = of('c', 50);
    const began = performance.now();
    await waits(patient);
    await eventually(async () => !('wait' in (await patient.take('job', every))));
    expect(performance.now() - began).to.be.at.least(49);
  });

  it('end also when a sign of life is still on its way', async () => {
    const slow = await turn(of(distantOwner()));
    const sign = slow.keep();
    await slow.end(every);
    expect(await sign).to.be.true;
    expect((await store.get(schedules, 'job'))?.value).not.to.have.property('owner');
    expect(await waits(of('b'))).to.be.within(every - 1000, every);
  });

  it('are kept by signs of life, and cannot be kept or ended once they are lost', async () => {
    const slow = await turn(of(distantOwner()));
    const watcher = of('watcher', 30);
    for (let sign = 0; sign < 20; sign += 1) {
      expect(await slow.keep()).to.be.true;
      await waits(watcher);
    }
    await eventually(async () => !('wait' in (await watcher.take('job', every))));
    expect(await slow.keep()).to.be.false;
    const before = await store.get(schedules, 'job');
    await slow.end(every);
    expect(await store.get(schedules, 'job')).to.deep.equal(before);
  });

  it('stay with their holder though a sign of life was stored and told as failed', async () => {
    const way = faulty(store);
    const holder = await turn(new ScheduleData(way.store, distantOwner(), every));
    way.fault = 'late';
    await failureOf(holder.keep());
    way.fault = 'none';
    expect(await holder.keep()).to.be.true;
    expect((await store.get(schedules, 'job'))?.value.beat).to.equal(2);
    way.fault = 'late';
    await failureOf(holder.keep());
    await failureOf(holder.end(every));
    way.fault = 'none';
    await holder.end(every);
    expect(await waits(of('b'))).to.be.within(every - 1000, every);
    expect(await holder.keep(), 'after its end').to.be.false;
  });
});
