/** What a region reports about a machine, and what that means for its instance. */
import type { InstanceRecord } from './instance.js';
import type { PowerState } from './power.js';

export interface Observation {
  powerState: PowerState;
  privateIP?: string;
  publicIP?: string;
  macAddress?: string;
  /** How often the machine has been started. */
  boots?: number;
  /** Why the state is Error, or anything unusual. Shown to users. */
  message?: string;
}

/** The instance updated with what was observed of its machine. */
export function observed(instance: InstanceRecord, seen: Observation): InstanceRecord {
  const { powerMessage, ...rest } = instance;
  // Alone, the number for an older instance is no news.
  const counts = instance.boots !== undefined || seen.powerState !== instance.powerState;
  return {
    ...rest,
    powerState: seen.powerState,
    ...(seen.message === undefined ? {} : { powerMessage: seen.message }),
    ...(seen.privateIP === undefined ? {} : { privateIP: seen.privateIP }),
    ...(seen.publicIP === undefined ? {} : { publicIP: seen.publicIP }),
    ...(seen.macAddress === undefined ? {} : { macAddress: seen.macAddress }),
    ...(seen.boots === undefined || !counts ? {} : { boots: seen.boots }),
  };
}

/** The instance updated after the region has lost its machine. */
export function vanished(instance: InstanceRecord): InstanceRecord {
  return { ...instance, powerState: 'Error', powerMessage: 'The region no longer has this machine.' };
}
