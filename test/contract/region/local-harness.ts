import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { LocalRegion } from '../../../src/region/local/index.js';
import { FileFaults } from '../../support/file-faults.js';
import { idleImages } from '../../support/idle-guest.js';
import { cleanUp, localOptions, processesIn, scratchFolder } from '../../support/region.js';
import type { FaultHarness } from './faults.js';

/** A local region whose files fail. */
export function localFaults(thorough: boolean): FaultHarness {
  const folder = scratchFolder('faults');
  const dataDir = join(folder, 'region');
  // The power is cut at once, nothing waits for a boot, and nobody else touches the files.
  const options = { stopDeadline: 0, startWidth: 16, housekeeping: 3600, imageDir: idleImages() };
  return {
    name: 'local',
    make: () => new LocalRegion(localOptions(dataDir, options)),
    flavor: 'tiny',
    image: 'tiny',
    faults: new FileFaults(dataDir),
    machines: (id) => processesIn(join(dataDir, 'servers', id)).length,
    images: () => readdirSync(join(dataDir, 'images')),
    cleanUp: () => cleanUp(folder),
    thorough,
  };
}
