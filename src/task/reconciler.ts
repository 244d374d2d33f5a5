/**
 * Compares the desired state with a region, in batches, once in the whole site: records what the region reports,
 * removes the machines of deleted instances, and reports all other drift. It never starts or stops anything: a guest
 * may have shut itself down on purpose, and nothing must be powered off behind a user's back.
 */
import type { DriftData, Finding } from '../data/drift.js';
import { agrees, type ObservationData } from '../data/observation.js';
import type { OpenRegion } from '../data/region.js';
import type { Document } from '../data/store/port.js';
import type { InstanceRecord } from '../model/instance.js';
import type { Log } from '../model/log.js';
import { isPassing, type PowerState } from '../model/power.js';
import type { ServerObservation } from '../region/provider.js';
import type { Job } from './schedule.js';

interface Parts {
  observations: ObservationData;
  drifts: DriftData;
  log: Log;
}

/** One job per region, every `intervalMs`. */
export function reconciliation(open: readonly OpenRegion[], intervalMs: number, parts: Parts): Job[] {
  return open.map((region) => {
    let under: ReadonlyMap<string, PowerState> = new Map();
    return {
      name: `reconcile ${region.id}`,
      intervalMs,
      run: async (signal) => {
        under = await reconcile(region, parts, under, signal);
      },
    };
  });
}

/** `before`, and the result: the transitional power states of machines in the last pass, and now. */
async function reconcile(
  region: OpenRegion,
  parts: Parts,
  before: ReadonlyMap<string, PowerState>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PowerState>> {
  const { observations, drifts, log } = parts;
  // The servers first: one that is created in between then has an instance. Anything that has changed since is checked
  // again.
  const at = performance.now();
  const servers = new Map(
    (await region.provider.describeServers(undefined, signal)).map((one) => [one.id, one]),
  );
  const passing = new Map(
    [...servers.values()].filter((one) => isPassing(one.powerState)).map((one) => [one.id, one.powerState]),
  );
  const findings: Finding[] = [];
  for await (const page of observations.instances(region.id, signal)) {
    signal.throwIfAborted();
    for (const instance of page) {
      const seen = servers.get(instance.id);
      const listed = { seen, at, lingers: seen !== undefined && before.get(instance.id) === seen.powerState };
      servers.delete(instance.id);
      if (!isAtRest(instance)) continue;
      const finding = await compare(region, instance, listed, parts, signal);
      if (finding !== undefined) findings.push(finding);
    }
  }
  for (const { id } of servers.values()) {
    signal.throwIfAborted();
    const finding = await settleOrphan(region, id, parts, signal);
    if (finding !== undefined) findings.push(finding);
  }
  for (const { kind, instanceId, message } of await drifts.settle(region.id, findings))
    log.warn({ region: region.name, kind, instanceId }, `drift: ${message}`);
  return passing;
}

/** Instances with open tasks are not compared: the task knows better. */
function isAtRest({ value }: Document<InstanceRecord>): boolean {
  const { provisioning, openTasks, deletionTime } = value;
  if (openTasks.length > 0) return false;
  return (
    provisioning.status === 'error' || (provisioning.status === 'provisioned' && deletionTime === undefined)
  );
}

async function compare(
  region: OpenRegion,
  { id, value }: Document<InstanceRecord>,
  listed: { seen: ServerObservation | undefined; at: number; lingers: boolean },
  { observations }: Parts,
  signal: AbortSignal,
): Promise<Finding | undefined> {
  // The list may be older than the instance's last task.
  const agreed = listed.seen?.powerState === value.powerState;
  const at = agreed ? listed.at : performance.now();
  const seen = agreed ? listed.seen : await observe(region, id, signal);
  const { name, projectId } = value;
  const about = { regionId: region.id, instanceId: id, name, projectId };
  const failed = value.provisioning.status === 'error';
  // A machine that was never created is not missing: its instance shows that itself.
  if (failed && seen === undefined) return undefined;
  if (!agrees(value, seen))
    await observations.record({ id, seen, at, again: () => observe(region, id, signal) });
  if (failed) return { kind: 'unfinished', ...about, message: unfinished(value) };
  if (seen === undefined) {
    const message =
      'The region no longer has this machine. Delete the instance, or replace it to create the machine again.';
    return { kind: 'absent', ...about, message };
  }
  const message = powerDrift(seen.powerState, value.desiredPower === 'running', listed.lingers);
  return message === undefined ? undefined : { kind: 'power', ...about, message };
}

/** `lingers`: it was already in this state in the last pass. */
function powerDrift(state: PowerState, toRun: boolean, lingers: boolean): string | undefined {
  if (isPassing(state)) {
    // A guest that reboots by itself passes through such states quickly.
    return lingers
      ? `The machine is stuck in ${state}, and no task is working on it; start or stop it.`
      : undefined;
  }
  if (state === 'Error')
    return `The machine is in error, although it was last asked to ${toRun ? 'run' : 'stop'}; start or stop it.`;
  if ((state === 'Running') === toRun) return undefined;
  return toRun
    ? 'The machine is off, although it was last asked to run; start it, or stop the instance to accept this.'
    : 'The machine is on, although it was last asked to stop; stop it, or start the instance to accept this.';
}

function unfinished({ deletionTime }: InstanceRecord): string {
  return deletionTime === undefined
    ? 'The region has this machine, although its creation failed. Restart the task, or delete the instance.'
    : 'The region still has this machine, although the instance was to be deleted. Delete it again.';
}

async function observe(
  region: OpenRegion,
  id: string,
  signal: AbortSignal,
): Promise<ServerObservation | undefined> {
  return (await region.provider.describeServers([id], signal))[0];
}

/** A machine without an instance: from a create that resumed after the delete, or not Copse's. */
async function settleOrphan(
  region: OpenRegion,
  id: string,
  { observations, drifts, log }: Parts,
  signal: AbortSignal,
): Promise<Finding | undefined> {
  if (await observations.exists(id)) return undefined;
  // Most of those without an instance were deleted with it since they were listed.
  if ((await observe(region, id, signal)) === undefined) return undefined;
  if (await drifts.wasDeleted({ type: 'instance', id })) {
    await region.provider.deleteServer(id, signal);
    log.warn({ region: region.name, instanceId: id }, 'removed the machine of a deleted instance');
    return undefined;
  }
  const message =
    'This machine belongs to no instance, not even a deleted one. Inspect it before you remove it.';
  return { kind: 'orphan', regionId: region.id, instanceId: id, message };
}
