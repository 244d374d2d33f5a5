import type { InstanceRecord } from '../model/instance.js';
import { observed, vanished } from '../model/observation.js';
import { isPassing } from '../model/power.js';
import type { Inspection } from './code.js';

type Change = (instance: InstanceRecord) => InstanceRecord;

/**
 * The state of the machine after a failure, so that the record does not keep showing what was expected. If the region
 * is unavailable, the last known state.
 */
export function inspectServer(failed: Inspection): Promise<Change> {
  return inspection(failed, passing(vanished));
}

/** The same for a machine that was to be created, which may be absent. */
export function inspectNewServer(failed: Inspection): Promise<Change> {
  return inspection(failed, (instance) => instance);
}

async function inspection(failed: Inspection, missing: Change): Promise<Change> {
  const { id, task, provider, signal, log } = failed;
  try {
    const [seen] = await provider.describeServers([id], signal);
    return seen === undefined ? missing : (instance) => observed(instance, seen);
  } catch (error) {
    log.warn({ err: error }, 'cannot observe the machine after a failure; the observer will');
    const before = (task.ifCancelled as Partial<InstanceRecord> | undefined)?.powerState;
    return passing((instance) => (before === undefined ? instance : { ...instance, powerState: before }));
  }
}

/** Only a transitional state is corrected. */
function passing(change: Change): Change {
  return (instance) => (isPassing(instance.powerState) ? change(instance) : instance);
}
