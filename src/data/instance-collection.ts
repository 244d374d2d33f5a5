/** How instances are stored: the columns of their lists, orders and periodic jobs. */
import { type InstanceRecord, presentInstance } from '../model/instance.js';
import type { CollectionSpec } from './store/port.js';

export const instances: CollectionSpec<InstanceRecord> = {
  name: 'instances',
  columns: {
    organization_id: 'text',
    project_id: 'text',
    region_id: 'text',
    network_id: 'text',
    status: 'text',
    power_state: 'text',
    flavor_id: 'text',
    image_id: 'text',
    name: 'text',
    modified: 'integer',
    tags: 'set',
    labels: 'set',
    expires: 'integer',
    trash: 'integer',
    created_by: 'text',
  },
  columnsOf: (id, instance) => ({
    organization_id: instance.organizationId,
    project_id: instance.projectId,
    region_id: instance.regionId,
    network_id: instance.networkId,
    status: instance.provisioning.status,
    power_state: instance.powerState ?? null,
    flavor_id: instance.flavorId,
    image_id: instance.imageId,
    // In the trash it leaves its name to others; no name has a space.
    name: instance.trashedUntil === undefined ? instance.name : `${instance.name} ${id}`,
    modified: Date.parse(instance.modifiedTime ?? instance.creationTime),
    tags: (instance.tags ?? []).map((tag) => `${tag.name}=${tag.value}`),
    labels: instance.labels ?? [],
    // Ms since 1970; null: never, or already being deleted. A failed deletion is requested again.
    expires:
      instance.expiresAt === undefined ||
      (instance.deletionTime !== undefined && instance.openTasks.length > 0)
        ? null
        : Date.parse(instance.expiresAt),
    // When it leaves the trash, ms since 1970; 1: a task has yet to bring it there, or is removing it.
    trash:
      instance.trashedUntil === undefined
        ? null
        : instance.openTasks.length > 0
          ? 1
          : Date.parse(instance.trashedUntil),
    created_by: instance.createdBy,
  }),
  loggedBy: 'project_id',
  present: presentInstance,
  unique: { name: ['project_id', 'name'] },
  // Ids are in the order of creation.
  orders: {
    id: [],
    creationTime: [],
    name: ['name'],
    modifiedTime: ['modified'],
    expires: ['expires'],
    trash: ['trash'],
  },
  sparse: ['expires', 'trash'],
  // The unique key also serves the order by name within a project.
  indexes: [
    ['project_id'],
    ['project_id', 'modified'],
    ['region_id'],
    ['network_id'],
    ['status'],
    ['power_state'],
    ['flavor_id'],
    ['image_id'],
    ['created_by'],
  ],
};
