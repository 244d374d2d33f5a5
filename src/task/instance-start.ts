import { observed } from '../data/observation.js';
import type { TaskCode } from './code.js';
import { powerFailed } from './code.js';

/** Starts the stopped machine. The region answers for one that runs already. */
export const instanceStart: TaskCode<'instance.start'> = {
  type: 'instance.start',
  async run(work) {
    const seen = await work.step('startServer', () =>
      work.provider.startServer(work.instance.id, work.signal),
    );
    return (instance) => observed(instance, seen);
  },
  failed: powerFailed,
};
