import type { TaskCode } from './code.js';
import { imagesOf } from './image-services.js';

/** Removes what the region has of the image, and then the record. */
export const imageDelete: TaskCode<'image.delete'> = {
  type: 'image.delete',
  // What is left takes space: it is worth trying for longer.
  retry: { maxAttempts: 20 },
  async run(work) {
    const { subject, provider, signal } = work;
    // An instance may have been accepted while the deletion was; since then, none is.
    await work.step('checkUse', () => imagesOf(work).data.refuseWhileUsed(subject.id, signal));
    await work.step('deleteImage', async () => provider.images?.remove(subject.id, signal));
  },
};
