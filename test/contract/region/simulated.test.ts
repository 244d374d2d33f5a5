import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { silentLog } from '../../../src/model/log.js';
import { SimulatedRegion } from '../../../src/region/simulated/index.js';
import { scratchFolder } from '../../support/region.js';
import { SqliteFaults } from '../../support/sqlite-faults.js';
import { testRegionFaults } from './faults.js';
import { testRegionContract } from './suite.js';

describe('region contract: simulated', () => {
  const folder = scratchFolder('simulated');
  testRegionContract({
    name: 'simulated',
    make: () =>
      new SimulatedRegion({
        regionId: 'region',
        file: join(folder, 'cloud.sqlite'),
        delay: 10,
        failureRate: 0,
        seed: 1,
        log: silentLog,
      }),
    flavor: 'tiny',
    image: 'sim-linux',
    larger: { name: 'large' },
    cleanUp: () => {
      rmSync(folder, { recursive: true, force: true });
      return Promise.resolve();
    },
  });

  describe('with an image that needs more than a flavor has', () => {
    const other = scratchFolder('simulated');
    testRegionContract({
      name: 'simulated',
      make: () =>
        new SimulatedRegion({
          regionId: 'region',
          file: join(other, 'cloud.sqlite'),
          delay: 0,
          failureRate: 0,
          seed: 1,
          log: silentLog,
        }),
      flavor: 'medium',
      tooSmall: 'small',
      snug: 'medium',
      image: 'sim-large',
      larger: { name: 'large' },
      cleanUp: () => {
        rmSync(other, { recursive: true, force: true });
        return Promise.resolve();
      },
    });
  });

  describe('when its file fails', () => {
    const file = join(scratchFolder('simulated'), 'cloud.sqlite');
    let region: SimulatedRegion;
    testRegionFaults({
      name: 'simulated',
      make: () => {
        region = new SimulatedRegion({
          regionId: 'region',
          file,
          delay: 1,
          failureRate: 0,
          seed: 1,
          log: silentLog,
        });
        return region;
      },
      flavor: 'tiny',
      image: 'sim-linux',
      faults: new SqliteFaults(),
      machines: (id) =>
        region.servers().filter((one) => one.id === id && one.powerState === 'Running').length,
      images: () => region.storedImages(),
      cleanUp: () => {
        rmSync(dirname(file), { recursive: true, force: true });
        return Promise.resolve();
      },
      thorough: true,
    });
  });
});
