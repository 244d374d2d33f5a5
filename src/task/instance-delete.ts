import type { TaskCode } from './code.js';

/** Ends the machine, removes all of it and then the record. */
export const instanceDelete: TaskCode = {
  type: 'instance.delete',
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
