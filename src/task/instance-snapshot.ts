import type { TaskCode } from './code.js';

/** Makes an image of the instance's disk. A repeat finds the image that an earlier attempt has made. */
export const instanceSnapshot: TaskCode<'instance.snapshot'> = {
  type: 'instance.snapshot',
  run: (work) =>
    work.step('snapshotServer', () => work.provider.snapshotServer(work.subject.id, work.input, work.signal)),
  // The region may have completed an image that nobody will ever use.
  async undo({ task, provider, signal, log }) {
    const { imageId } = task.input as { imageId: string };
    try {
      await provider.images?.remove(imageId, signal);
    } catch (error) {
      log.warn({ err: error, imageId }, 'what a failed snapshot left will be removed with its image');
    }
  },
};
