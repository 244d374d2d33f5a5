import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/** Starts the stopped machine. For the region, an already running one is a success. */
export const instanceStart: TaskCode<'instance.start'> = {
  type: 'instance.start',
  run: (work) => work.step('startServer', () => work.provider.startServer(work.subject.id, work.signal)),
  inspect: inspectServer,
};
