import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/** Stops the machine, and leaves it and its disk as they are. */
export const instanceTrash: TaskCode<'instance.trash'> = {
  type: 'instance.trash',
  retry: { maxAttempts: 20 },
  async run(work) {
    const { id } = work.subject;
    const [seen] = await work.step('describeServer', () => work.provider.describeServers([id], work.signal));
    if (seen === undefined) return undefined;
    return work.step('stopServer', () => work.provider.stopServer(id, work.signal));
  },
  inspect: inspectServer,
};
