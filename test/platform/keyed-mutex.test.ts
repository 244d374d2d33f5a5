import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { KeyedMutex } from '../../src/platform/keyed-mutex.js';
import { failureOf } from '../support/eventually.js';

describe('the keyed mutex', () => {
  let mutex: KeyedMutex;
  let events: string[];
  beforeEach(() => {
    mutex = new KeyedMutex();
    events = [];
  });

  async function work(name: string): Promise<string> {
    events.push(`${name} begins`);
    await nextTurn();
    events.push(`${name} ends`);
    return name;
  }

  it('runs work under one key one at a time in the order of asking, and under different keys side by side', async () => {
    const asked = [
      mutex.run('a', () => work('one')),
      mutex.run('a', () => work('two')),
      mutex.run('b', () => work('other')),
    ];
    expect(await Promise.all(asked)).to.deep.equal(['one', 'two', 'other']);
    expect(events.indexOf('other begins')).to.be.below(events.indexOf('one ends'));
    expect(events.filter((event) => !event.startsWith('other'))).to.deep.equal([
      'one begins',
      'one ends',
      'two begins',
      'two ends',
    ]);
  });

  it('goes on after work that failed, and without who gave up, for whom nobody’s turn comes early', async () => {
    const leaving = new AbortController();
    const failing = failureOf(
      mutex.run('a', () => work('one').then(() => Promise.reject(new Error('failed')))),
    );
    const left = failureOf(mutex.run('a', () => work('two'), leaving.signal));
    const last = mutex.run('a', () => work('three'));
    leaving.abort(new Error('left'));
    expect((await left).message).to.equal('left');
    expect((await failing).message).to.equal('failed');
    await last;
    expect(events).to.deep.equal(['one begins', 'one ends', 'three begins', 'three ends']);
  });

  it('tells when a key is idle', async () => {
    const running = mutex.run('a', () => work('one'));
    await mutex.idle('b');
    expect(events).to.not.include('one ends');
    await mutex.idle('a');
    expect(events).to.deep.equal(['one begins', 'one ends']);
    await running;
  });
});
