import type { TaskCode } from './code.js';
import { inspectServer } from './inspect-server.js';

/**
 * Reboots softly or hard, once: the region recognises a repeat by the request, which changes when the task is
 * restarted. If an attempt was interrupted after the guest shut down, the repeat finds it stopped and starts it, which
 * is the other half of a reboot.
 */
export const instanceReboot: TaskCode<'instance.reboot'> = {
  type: 'instance.reboot',
  async run(work) {
    const { id } = work.subject;
    const hard = work.input.hard === true;
    const options = { hard, request: `${work.task.id}/${work.task.value.attemptBase ?? 0}` };
    const repeated = work.task.value.attempts.length > 1;
    const [before] = repeated
      ? await work.step('describeServer', () => work.provider.describeServers([id], work.signal))
      : [];
    return before?.powerState === 'Stopped'
      ? work.step('startServer', () => work.provider.startServer(id, work.signal))
      : work.step('rebootServer', () => work.provider.rebootServer(id, options, work.signal));
  },
  inspect: inspectServer,
};
