import { expect } from 'chai';
import { permits, type PowerState, type PowerVerb } from '../../src/model/power.js';

const verbs: PowerVerb[] = ['start', 'stop', 'reboot'];

/** The verbs that each state allows. */
const table: Record<PowerState, PowerVerb[]> = {
  Pending: [],
  Queued: [],
  Building: [],
  Running: ['stop', 'reboot'],
  Stopping: [],
  Stopped: ['start'],
  Rebuilding: [],
  Error: ['start', 'stop', 'reboot'],
};

describe('a power verb', () => {
  for (const [state, allowed] of Object.entries(table) as [PowerState, PowerVerb[]][]) {
    it(`on a machine that is ${state}: ${allowed.length === 0 ? 'none' : allowed.join(', ')}`, () => {
      expect(verbs.filter((verb) => permits(state, verb))).to.deep.equal(allowed);
    });
  }

  it('is never possible while nothing is known of the machine', () => {
    expect(verbs.filter((verb) => permits(undefined, verb))).to.deep.equal([]);
  });
});
