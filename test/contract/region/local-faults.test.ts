import { skipLoudly } from '../../support/region.js';
import { testRegionFaults } from './faults.js';
import { localFaults } from './local-harness.js';

const suite = 'region contract: local, when its files fail';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  testRegionFaults(localFaults(false));
});
