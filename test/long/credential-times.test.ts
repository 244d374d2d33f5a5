/** Whether the time of a refusal tells an unknown user from a wrong key: 10,000 attempts. */
import { expect } from 'chai';
import { newApiKey } from '../../src/data/user.js';
import { median, refusalTimes } from '../support/credential-times.js';
import { addPerson } from '../support/people.js';
import { startServer } from '../support/server.js';

describe('10,000 failed attempts', () => {
  it('take the same time for unknown users, for wrong keys and for keys of others', async function () {
    this.timeout(600_000);
    const server = await startServer({
      flags: { limits: { requests: 0, failuresPerAddress: 0, failuresPerName: 0 } },
    });
    try {
      const alice = await addPerson(server.app, 'alice');
      await addPerson(server.app, 'bob');
      const kinds = [
        () => ({ 'Api-User': 'nobody', 'Api-Key': newApiKey() }),
        () => ({ 'Api-User': 'alice', 'Api-Key': newApiKey() }),
      ];
      const [unknown = 0, wrong = 0] = (await refusalTimes(server.url, kinds, 4000)).map(median);
      expect(Math.abs(unknown / wrong - 1), `${unknown} and ${wrong} ms`).to.be.below(0.05);
      const ofAnother = [
        () => ({ 'Api-User': 'nobody', 'Api-Key': alice.key }),
        () => ({ 'Api-User': 'bob', 'Api-Key': alice.key }),
      ];
      const [none = 0, others = 0] = (await refusalTimes(server.url, ofAnother, 1000)).map(median);
      expect(Math.abs(none / others - 1), `${none} and ${others} ms`).to.be.below(0.05);
    } finally {
      await server.stop();
    }
  });
});
