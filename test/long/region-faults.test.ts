/**
 * Each file operation of the local region fails once, with ENOSPC, EIO, EMFILE and EACCES by turns; with
 * COPSE_TEST_THOROUGH=1 each with all four, which takes four times as long.
 */
import { testRegionFaults } from '../contract/region/faults.js';
import { localFaults } from '../contract/region/local-harness.js';
import { thorough } from '../support/budget.js';
import { skipLoudly } from '../support/region.js';

const suite = 'region contract: local, when its files fail';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  testRegionFaults(localFaults(thorough));
});
