/** Instances and tasks put directly into a store, as an earlier or another process would have left them. */
import { spawnSync } from 'node:child_process';
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { ownerName } from '../../src/data/owner.js';
import { insert, type Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { timestamp } from '../../src/model/common.js';
import type { InstanceRecord } from '../../src/model/instance.js';
import type { TaskRecord } from '../../src/model/task.js';

export const regionId = uuidv7();

export function instanceRecord(change: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    organizationId: uuidv7(),
    projectId: uuidv7(),
    networkId: uuidv7(),
    regionId,
    name: 'seeded',
    flavorId: uuidv7(),
    imageId: uuidv7(),
    creationTime: timestamp(),
    createdBy: 'test',
    provisioning: { status: 'provisioned' },
    desiredPower: 'running',
    powerState: 'Running',
    openTasks: [],
    ...change,
  };
}

export function taskRecord(instanceId: string, change: Partial<TaskRecord> = {}): TaskRecord {
  return {
    type: 'instance.stop',
    status: 'pending',
    queue: 'ready',
    activated: true,
    priority: 0,
    subject: { type: 'instance', id: instanceId, name: 'seeded' },
    input: {},
    organizationId: uuidv7(),
    projectId: uuidv7(),
    regionId,
    requester: { user: 'test', requestId: 'r' },
    creationTime: timestamp(),
    attempts: [],
    steps: [],
    token: 0,
    ...change,
  };
}

/** An instance with one task for it; returns the ids of both. */
export async function seedTask(
  store: Store,
  change: Partial<TaskRecord> = {},
  instance: Partial<InstanceRecord> = {},
): Promise<{ instanceId: string; taskId: string }> {
  const [instanceId, taskId] = [uuidv7(), uuidv7()];
  await store.write([
    insert(instances, instanceId, instanceRecord({ ...instance, openTasks: [taskId] })),
    insert(tasks, taskId, taskRecord(instanceId, change)),
  ]);
  return { instanceId, taskId };
}

/** The name of an owner that was a process of this machine and is dead. */
export function deadOwner(): string {
  const { pid } = spawnSync(process.execPath, ['--version']);
  return JSON.stringify({ ...(JSON.parse(ownerName()) as object), pid, start: '1' });
}

/** The name of an owner whose state cannot be determined here. */
export function distantOwner(): string {
  return JSON.stringify({ place: 'another machine', pid: 1, start: '1' });
}
