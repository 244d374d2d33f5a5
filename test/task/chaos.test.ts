/** What the chaos test (test/long/chaos.test.ts) measures by finds what it is there to find. */
import { expect } from 'chai';
import { type Call, overlaps, type Span } from '../support/chaos/calls.js';
import { isInOrder } from '../support/chaos/model.js';

describe('the measures of the chaos test', () => {
  const call = (pid: number, began: number, ended: number, server = 'a'): Call => ({
    pid,
    verb: 'stopServer',
    server,
    began,
    ended,
  });
  const found = (calls: Call[], stills: Span[] = []) =>
    overlaps(calls, stills, { least: 200, mercy: 1000 }).length;

  it('find two at work on one machine at a time, in any order and in one process too', () => {
    expect(found([call(1, 0, 100), call(2, 100, 200), call(3, 50, 150, 'b')])).to.equal(0);
    expect(found([call(2, 99, 200), call(1, 0, 100)])).to.equal(1);
    expect(found([call(1, 0, 100), call(1, 50, 60)])).to.equal(1);
    // Behind a call that has ended the long one is not forgotten; a call without an end lasts for ever.
    expect(found([call(1, 0, Infinity), call(2, 10, 20), call(3, 5000, 5001)])).to.equal(2);
  });

  it('excuse only a process that stood still before the other began, and that let go soon after', () => {
    const still = { pid: 1, from: 50, to: 3000 };
    expect(found([call(1, 0, 3900), call(2, 2000, 2100)], [still])).to.equal(0);
    expect(found([call(1, 0, 4100), call(2, 2000, 2100)], [still])).to.equal(1);
    expect(found([call(1, 0, 3900), call(2, 2000, 2100)], [{ ...still, pid: 2 }])).to.equal(1);
    expect(found([call(1, 0, 3900), call(2, 40, 60)], [still])).to.equal(1);
    expect(found([call(1, 0, 100), call(2, 90, 95)], [{ pid: 1, from: 50, to: 80 }])).to.equal(1);
  });

  it('find what was done to a machine twice, late or unasked, and bear what was not done', () => {
    const work = (...verbs: ('create' | 'stop' | 'start' | 'reboot' | 'replace')[]) =>
      verbs.map((verb) => ({ verb }));
    const [made, stopped, rebooted, gone] = ['ensureServer', 'stopServer', 'rebootServer', 'deleteServer'];
    expect(isInOrder([made, rebooted, stopped], work('create', 'reboot', 'stop'))).to.be.true;
    expect(isInOrder([made, stopped], work('create', 'reboot', 'stop'))).to.be.true;
    expect(isInOrder([made, gone, made], work('create', 'replace'))).to.be.true;
    expect(isInOrder([made, rebooted, rebooted], work('create', 'reboot'))).to.be.false;
    expect(isInOrder([made, stopped, rebooted], work('create', 'reboot', 'stop'))).to.be.false;
    expect(isInOrder([made, gone], work('create'))).to.be.false;
  });
});
