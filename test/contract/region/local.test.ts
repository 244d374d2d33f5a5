import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalRegion } from '../../../src/region/local/index.js';
import { cleanUp, imageManifest, localOptions, scratchFolder, skipLoudly } from '../../support/region.js';
import { testRegionContract } from './suite.js';

/** Bytes that a guest sees of a qcow2 disk: the header says it at offset 24. */
async function virtualSize(file: string): Promise<number> {
  return Number((await readFile(file)).readBigUInt64BE(24));
}

const suite = 'region contract: local';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  const folder = scratchFolder('local');
  // A name with QEMU's separator in it, longer than a unix socket's path may be.
  const dataDir = join(folder, `a long, winding path ${'x'.repeat(120)}`);
  testRegionContract({
    name: 'local',
    make: () => {
      const options = localOptions(dataDir);
      const snug = { name: 'snug', cpus: 1, memoryMiB: imageManifest().minMemoryMiB, diskGB: 1 };
      const roomy = { name: 'roomy', cpus: 2, memoryMiB: 256, diskGB: 3 };
      return new LocalRegion({ ...options, flavors: [...options.flavors, snug, roomy] });
    },
    flavor: 'tiny',
    tooSmall: 'micro',
    snug: 'snug',
    image: 'tiny',
    larger: { name: 'roomy', sizeOf: (id) => virtualSize(join(dataDir, 'servers', id, 'disk.qcow2')) },
    cleanUp: () => cleanUp(folder),
  });
});
