import { RegionError } from '../region/provider.js';
import type { TaskCode } from './code.js';

/** Checks the content of an image that has been uploaded, and makes the image of it. */
export const imageCheck: TaskCode<'image.check'> = {
  type: 'image.check',
  run(work) {
    const { subject, provider, signal } = work;
    const { name, architecture, os, minMemoryMiB, source } = subject.value;
    const { format = 'qcow2', sizeBytes = 0, checksum = '' } = source;
    const { images } = provider;
    if (images === undefined) throw new RegionError('unsupported', 'The region stores no images.');
    const content = { format, sizeBytes, checksum };
    const about = { id: subject.id, name, architecture, os };
    const request = { ...about, ...content, ...(minMemoryMiB === undefined ? {} : { minMemoryMiB }) };
    return work.step('makeImage', () => images.make(request, signal));
  },
};
