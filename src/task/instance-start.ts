import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/** Starts the stopped machine. The region answers for one that runs already. */
export const instanceStart: TaskCode<'instance.start'> = {
  type: 'instance.start',
  run: (work) => work.step('startServer', () => work.provider.startServer(work.instance.id, work.signal)),
  inspect: inspectServer,
};
