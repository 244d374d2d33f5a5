import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/** Asks the guest to shut down; the region cuts the power after its deadline. */
export const instanceStop: TaskCode<'instance.stop'> = {
  type: 'instance.stop',
  run: (work) => work.step('stopServer', () => work.provider.stopServer(work.subject.id, work.signal)),
  inspect: inspectServer,
};
