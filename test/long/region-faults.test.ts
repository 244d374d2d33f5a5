/** Each file operation of the local region with each error; `npm test` tries each with one, by turns. */
import { testRegionFaults } from '../contract/region/faults.js';
import { localFaults } from '../contract/region/local-harness.js';
import { skipLoudly } from '../support/region.js';

const suite = 'local region: every file operation, every error';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  testRegionFaults(localFaults(true));
});
