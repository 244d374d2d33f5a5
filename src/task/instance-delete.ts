import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/** Ends the machine, removes all of it and then the record. */
export const instanceDelete: TaskCode<'instance.delete'> = {
  type: 'instance.delete',
  // A machine that is left over costs its owner: it is worth a longer try.
  retry: { maxAttempts: 20 },
  run: (work) => work.step('deleteServer', () => work.provider.deleteServer(work.instance.id, work.signal)),
  inspect: inspectServer,
};
