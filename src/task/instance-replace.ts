import type { TaskCode } from './code.js';
import { ensureServer } from './ensure-server.js';
import { inspectNewServer } from './inspect-server.js';

/** The step whose record shows that the old machine is gone, and that any machine found now is the new one. */
const removal = 'deleteServer';

/** Deletes the machine and creates it again with the instance's current flavor and image. */
export const instanceReplace: TaskCode<'instance.replace'> = {
  type: 'instance.replace',
  async run(work) {
    const removed = work.task.value.steps.some(
      (step) => step.name === removal && step.outcome === 'succeeded',
    );
    if (!removed) await work.step(removal, () => work.provider.deleteServer(work.subject.id, work.signal));
    return ensureServer(work);
  },
  inspect: inspectNewServer,
};
