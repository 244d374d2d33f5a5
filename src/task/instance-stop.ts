import { observed } from '../data/observation.js';
import type { TaskCode } from './code.js';
import { powerFailed } from './code.js';

/** Asks the guest to shut down; the region cuts the power after its deadline. */
export const instanceStop: TaskCode<'instance.stop'> = {
  type: 'instance.stop',
  async run(work) {
    const seen = await work.step('stopServer', () => work.provider.stopServer(work.instance.id, work.signal));
    return (instance) => observed(instance, seen);
  },
  failed: powerFailed,
};
