import type { TaskCode } from './code.js';
import { ensureServer } from './ensure-server.js';
import { inspectNewServer } from './inspect-server.js';

/**
 * Creates the machine of a new instance. A repeat finds what an earlier attempt created; nothing is deleted to "clean
 * up".
 */
export const instanceCreate: TaskCode<'instance.create'> = {
  type: 'instance.create',
  run: (work) =>
    ensureServer(work, (instance) => ({ ...instance, provisioning: { status: 'provisioning' } })),
  inspect: inspectNewServer,
};
