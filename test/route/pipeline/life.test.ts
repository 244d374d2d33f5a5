/** A request's life, as what its reads of the store are ended by. */
import { expect } from 'chai';
import { Life } from '../../../src/route/pipeline/life.js';
import { failureOf } from '../../support/eventually.js';

describe('the life of a request', () => {
  const reason = new Error('over');

  it('tells whom it concerns once when it is aborted, and is what its signal says', () => {
    const life = new Life();
    const told: string[] = [];
    life.addEventListener('abort', () => told.push('kept'));
    const stopped = new AbortController();
    life.addEventListener('abort', () => told.push('stopped'), { signal: stopped.signal });
    stopped.abort();
    life.throwIfAborted();
    expect([life.aborted, life.signal.aborted, life.reason]).to.deep.equal([false, false, undefined]);
    life.abort(reason);
    life.abort(new Error('later'));
    expect(told).to.deep.equal(['kept']);
    expect([life.aborted, life.signal.aborted]).to.deep.equal([true, true]);
    expect([life.reason, life.signal.reason]).to.deep.equal([reason, reason]);
    expect(() => life.throwIfAborted()).to.throw(reason);
  });

  it('shows its end also in a signal that is asked for later', () => {
    const life = new Life();
    life.abort(reason);
    expect(life.signal.reason).to.equal(reason);
  });

  it('answers whoever waits for work, when it is over, and nobody after the release', async () => {
    const life = new Life();
    const waiting = failureOf(life.race(new Promise(() => undefined)));
    life.abort(reason);
    expect(await waiting).to.equal(reason);
    const released = new Life();
    const work = released.race(new Promise((resolve) => setImmediate(() => resolve('done'))));
    released.release();
    released.abort(reason);
    expect(await work).to.equal('done');
  });
});
