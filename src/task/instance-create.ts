import type { TaskCode } from './code.js';
import { ensureServer } from './ensure-server.js';
import { inspectNewServer } from './inspect-server.js';

/** Makes the machine of a new instance. A repeat finds what an earlier attempt made; nothing is deleted to "clean up". */
export const instanceCreate: TaskCode<'instance.create'> = {
  type: 'instance.create',
  run: (work) =>
    ensureServer(work, (instance) => ({ ...instance, provisioning: { status: 'provisioning' } })),
  inspect: inspectNewServer,
};
