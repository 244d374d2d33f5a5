/** Whether an image can run on a flavor. Rules: Unikorn section 2.5, step 3. */
import type { Flavor } from './flavor.js';
import type { Image } from './image.js';

/** The reasons why not, as public sentences; empty means that it fits. */
export function misfits(flavor: Pick<Flavor, 'spec'>, image: Image): string[] {
  const reasons: string[] = [];
  if (image.status.state !== 'ready') reasons.push(`The image is ${image.status.state}, not ready.`);
  if (image.spec.architecture !== flavor.spec.architecture) {
    reasons.push(`The image is for ${image.spec.architecture}, the flavor has ${flavor.spec.architecture}.`);
  }
  if (flavor.spec.disk < image.spec.sizeGiB) {
    reasons.push(`The image needs a disk of ${image.spec.sizeGiB} GiB, the flavor has ${flavor.spec.disk}.`);
  }
  if (image.spec.minMemoryMiB !== undefined && flavor.spec.memoryMiB < image.spec.minMemoryMiB) {
    reasons.push(
      `The image needs ${image.spec.minMemoryMiB} MiB of memory, the flavor has ${flavor.spec.memoryMiB}.`,
    );
  }
  const bare = flavor.spec.baremetal === true;
  if (image.spec.virtualization === 'virtualized' && bare)
    reasons.push('The image runs on virtual machines only.');
  if (image.spec.virtualization === 'baremetal' && !bare) reasons.push('The image runs on bare metal only.');
  return reasons;
}
