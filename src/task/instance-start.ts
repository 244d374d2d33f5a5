import { observed } from '../data/observation.js';
import type { TaskCode } from './code.js';
import { powerFailed } from './code.js';

export const instanceStart: TaskCode = {
  type: 'instance.start',
  async run(work) {
    const seen = await work.step('startServer', () =>
      work.provider.startServer(work.instance.id, work.signal),
    );
    return (instance) => observed(instance, seen);
  },
  failed: powerFailed,
};
