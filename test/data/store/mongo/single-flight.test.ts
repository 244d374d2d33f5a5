import { expect } from 'chai';
import { singleFlight } from '../../../../src/data/store/mongo/single-flight.js';
import { failureOf } from '../../../support/eventually.js';

describe('reads of the MongoDB store', () => {
  it('of the same in one turn are one, which begins after the last of them was asked for', async () => {
    const share = singleFlight();
    const events: string[] = [];
    const ask = (name: string) => {
      events.push(`ask ${name}`);
      return share(name, () => {
        events.push(`read ${name}`);
        return Promise.resolve(events.length);
      });
    };
    const first = [ask('a'), ask('b'), Promise.resolve().then(() => ask('a'))];
    expect(await Promise.all(first)).to.deep.equal([4, 5, 4]);
    expect(await ask('a')).to.equal(7);
    expect(events).to.deep.equal(['ask a', 'ask b', 'ask a', 'read a', 'read b', 'ask a', 'read a']);
  });

  it('that fail, fail for all who asked, and not for the next', async () => {
    const share = singleFlight();
    const fail = () => Promise.reject(new Error('away'));
    const failures = await Promise.all([1, 2].map(() => failureOf(share('a', fail))));
    expect(failures.map(({ message }) => message)).to.deep.equal(['away', 'away']);
    expect(await share('a', () => Promise.resolve(1))).to.equal(1);
  });
});
