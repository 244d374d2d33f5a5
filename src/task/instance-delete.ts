import type { TaskCode } from './code.js';

/** Ends the machine, removes all of it and then the record. */
export const instanceDelete: TaskCode<'instance.delete'> = {
  type: 'instance.delete',
  // A machine that is left over costs its owner: it is worth a longer try.
  retry: { maxAttempts: 20 },
  async run(work) {
    await work.step('deleteServer', () => work.provider.deleteServer(work.instance.id, work.signal));
    return () => undefined;
  },
  failed: (instance, cause) => ({
    ...instance,
    provisioning: {
      status: 'error',
      reason: 'Deprovisioning',
      message: `${cause.message} Delete it again to retry.`,
    },
  }),
};
