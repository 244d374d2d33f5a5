import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/** Gives the machine the instance's current flavor. Its disk keeps its content, and a running guest keeps running. */
export const instanceResize: TaskCode<'instance.resize'> = {
  type: 'instance.resize',
  run(work) {
    const { id, value } = work.subject;
    const { flavorId, flavor } = value;
    const request = { flavorId, ...(flavor == null ? {} : { flavor }) };
    return work.step('resizeServer', () => work.provider.resizeServer(id, request, work.signal));
  },
  inspect: inspectServer,
};
