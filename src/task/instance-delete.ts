import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/** Terminates the machine, and removes everything of it and then the record. */
export const instanceDelete: TaskCode<'instance.delete'> = {
  type: 'instance.delete',
  // A leftover machine costs its owner: it is worth trying for longer.
  retry: { maxAttempts: 20 },
  run: (work) => work.step('deleteServer', () => work.provider.deleteServer(work.subject.id, work.signal)),
  inspect: inspectServer,
};
