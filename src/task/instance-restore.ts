import { RegionError } from '../region/provider.js';
import type { TaskCode } from './code.js';
import { inspectNewServer } from './inspect-server.js';

/** Starts the machine that was kept in the trash, or leaves it off if that was the last request. Never makes another one. */
export const instanceRestore: TaskCode<'instance.restore'> = {
  type: 'instance.restore',
  async run(work) {
    const { id, value } = work.subject;
    if (value.desiredPower === 'running')
      return work.step('startServer', () => work.provider.startServer(id, work.signal));
    const [seen] = await work.step('describeServer', () => work.provider.describeServers([id], work.signal));
    if (seen === undefined) throw new RegionError('not_found', 'The region no longer has this machine.');
    return seen;
  },
  inspect: inspectNewServer,
};
