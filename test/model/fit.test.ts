import { expect } from 'chai';
import { misfits } from '../../src/model/fit.js';
import type { Flavor } from '../../src/model/flavor.js';
import type { Image } from '../../src/model/image.js';

const metadata = {
  id: '0193a5c0-0000-7000-8000-000000000001',
  name: 'x',
  creationTime: '2026-01-01T00:00:00.000Z',
};

function flavor(spec: Partial<Flavor['spec']> = {}): Flavor {
  return { metadata, spec: { architecture: 'x86_64', cpus: 1, memory: 1, memoryMiB: 512, disk: 5, ...spec } };
}

function image(spec: Partial<Image['spec']> = {}, state: Image['status']['state'] = 'ready'): Image {
  const os = { kernel: 'linux' as const, family: 'debian', distro: 'debian', version: '13' };
  return {
    metadata,
    spec: { architecture: 'x86_64', sizeGiB: 5, virtualization: 'virtualized', os, ...spec },
    status: { state },
  };
}

describe('an image on a flavor', () => {
  it('fits when nothing speaks against it, also when disk and memory are just enough', () => {
    expect(misfits(flavor(), image({ minMemoryMiB: 512 }))).to.deep.equal([]);
  });

  const faults: [string, Flavor, Image, RegExp][] = [
    ['is not ready', flavor(), image({}, 'creating'), /creating, not ready/],
    ['has failed', flavor(), image({}, 'failed'), /failed, not ready/],
    ['is for another architecture', flavor(), image({ architecture: 'aarch64' }), /aarch64.*x86_64/],
    ['needs a larger disk', flavor({ disk: 4 }), image(), /5 GiB.*4/],
    ['needs more memory', flavor({ memoryMiB: 511 }), image({ minMemoryMiB: 512 }), /512 MiB.*511/],
    ['runs on virtual machines only', flavor({ baremetal: true }), image(), /virtual machines only/],
    ['runs on bare metal only', flavor(), image({ virtualization: 'baremetal' }), /bare metal only/],
    [
      'runs on bare metal only, which the flavor denies',
      flavor({ baremetal: false }),
      image({ virtualization: 'baremetal' }),
      /bare metal only/,
    ],
  ];
  for (const [what, size, disk, reason] of faults) {
    it(`does not fit when it ${what}, and says so`, () => {
      const reasons = misfits(size, disk);
      expect(reasons).to.have.length(1);
      expect(reasons[0]).to.match(reason);
    });
  }

  it('that runs on any machine fits both kinds', () => {
    expect(misfits(flavor(), image({ virtualization: 'any' }))).to.deep.equal([]);
    expect(misfits(flavor({ baremetal: true }), image({ virtualization: 'any' }))).to.deep.equal([]);
  });

  it('is told all the reasons at once', () => {
    expect(
      misfits(
        flavor({ disk: 1, memoryMiB: 1 }),
        image({ architecture: 'aarch64', minMemoryMiB: 2 }, 'pending'),
      ),
    ).to.have.length(4);
  });
});
