/** A request's lifetime, as what its reads of the store are ended by. */
import { expect } from 'chai';
import { RequestLifetime } from '../../../src/route/pipeline/request-lifetime.js';
import { failureOf } from '../../support/eventually.js';

describe('the lifetime of a request', () => {
  const reason = new Error('over');

  it('tells whom it concerns once when it is aborted, and is what its signal says', () => {
    const lifetime = new RequestLifetime();
    const told: string[] = [];
    lifetime.addEventListener('abort', () => told.push('kept'));
    const stopped = new AbortController();
    lifetime.addEventListener('abort', () => told.push('stopped'), { signal: stopped.signal });
    stopped.abort();
    lifetime.throwIfAborted();
    expect([lifetime.aborted, lifetime.signal.aborted, lifetime.reason]).to.deep.equal([
      false,
      false,
      undefined,
    ]);
    lifetime.abort(reason);
    lifetime.abort(new Error('later'));
    expect(told).to.deep.equal(['kept']);
    expect([lifetime.aborted, lifetime.signal.aborted]).to.deep.equal([true, true]);
    expect([lifetime.reason, lifetime.signal.reason]).to.deep.equal([reason, reason]);
    expect(() => lifetime.throwIfAborted()).to.throw(reason);
  });

  it('shows its end also in a signal that is asked for later', () => {
    const lifetime = new RequestLifetime();
    lifetime.abort(reason);
    expect(lifetime.signal.reason).to.equal(reason);
  });

  it('answers whoever waits for work, when it is over, and nobody after the release', async () => {
    const lifetime = new RequestLifetime();
    const waiting = failureOf(lifetime.race(new Promise(() => undefined)));
    lifetime.abort(reason);
    expect(await waiting).to.equal(reason);
    const released = new RequestLifetime();
    const work = released.race(new Promise((resolve) => setImmediate(() => resolve('done'))));
    released.release();
    released.abort(reason);
    expect(await work).to.equal('done');
  });
});
