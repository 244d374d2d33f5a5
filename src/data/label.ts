/** Labels, and which resources have them: one pair of collections for all types of resources. */
import { uuidv7 } from 'uuidv7';
import { defined, timestamp } from '../model/common.js';
import { ApiError, notFound, notFoundAt, rightMissing } from '../model/error.js';
import {
  checkProperties,
  type Label,
  type LabelCreate,
  type LabelPatch,
  type LabelRecord,
  type LabelUse,
  presentLabel,
} from '../model/label.js';
import { merged } from '../model/merge-patch.js';
import { rightsIn } from '../model/project.js';
import { allows } from '../model/role.js';
import { audited } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { added, type AuditedCollection, modified, removed, withName } from './change.js';
import { instances } from './instance.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { ResourceData } from './resource.js';
import {
  check,
  type CollectionSpec,
  type Document,
  emptyPage,
  insert,
  type ListPage,
  remove,
  type Store,
  StoreConflict,
  type TextPage,
} from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';
import { users } from './user.js';

export const labels: AuditedCollection<LabelRecord> = {
  name: 'labels',
  auditedAs: 'label',
  columns: { organization_id: 'text', owner_id: 'text', name: 'text' },
  columnsOf: (_id, label) => ({
    organization_id: label.organizationId,
    owner_id: ownerOf(label),
    name: label.name,
  }),
  present: presentLabel,
  unique: { name: ['owner_id', 'name'] },
  orders: { id: [] },
  indexes: [['owner_id']],
};

export const labelUses: CollectionSpec<LabelUse> = {
  name: 'label_uses',
  columns: { label_id: 'text', type: 'text', resource_id: 'text' },
  columnsOf: (_id, use) => ({ label_id: use.labelId, type: use.type, resource_id: use.resourceId }),
  unique: { use: ['label_id', 'type', 'resource_id'] },
  orders: { id: [] },
  indexes: [['type', 'resource_id'], ['label_id']],
};

/** Of which labels a resource may have some: of its project, of its organization; `{}`: of any. */
interface LabelScope {
  organizationId?: string;
  projectId?: string;
}

/** Each type of resources that has labels, with the scope of one of them; undefined if it is absent. */
const labelled = {
  instance: async (store: Store, id: string) => (await store.get(instances, id))?.value,
  project: async (store: Store, id: string) => {
    const project = await store.get(projects, id);
    return project && { organizationId: project.value.organizationId, projectId: id };
  },
  organization: async (store: Store, id: string) =>
    (await store.get(organizations, id)) && { organizationId: id },
  user: async (store: Store, id: string) => (await store.get(users, id)) && {},
} satisfies Record<string, (store: Store, id: string) => Promise<LabelScope | undefined>>;

export type LabelledType = keyof typeof labelled;

/** Maximum number of labels per organization or project, and per resource. */
const labelLimit = 1000;
const useLimit = 100;
const pageSize = 500;

export interface LabelFilter {
  organizationIds?: readonly string[] | undefined;
  projectIds?: readonly string[] | undefined;
}

export class LabelData extends ResourceData {
  /** The labels of the caller's projects and of their organizations. */
  async list(caller: Caller, wanted: LabelFilter, page: ListPage): Promise<TextPage> {
    const named = [...(wanted.organizationIds ?? []), ...(wanted.projectIds ?? [])];
    const all = named.length === 0 ? undefined : named;
    const owners = caller.principal.superUser ? all : await this.#owners(caller, all);
    if (owners?.length === 0) return emptyPage;
    return this.store.pageTexts(
      labels,
      { ...page, ...(owners === undefined ? {} : { filter: { owner_id: owners } }) },
      caller.signal,
    );
  }

  async #owners(caller: Caller, wanted: readonly string[] | undefined): Promise<string[]> {
    const visible = await this.projects.visible(caller);
    const own = new Set(visible.flatMap(({ id, value }) => [id, value.organizationId]));
    return [...own].filter((id) => wanted?.includes(id) ?? true);
  }

  /** A label that the caller may see; otherwise `not_found`. */
  async get(caller: Caller, id: string): Promise<Document<LabelRecord>> {
    const label = await this.#seen(caller, id);
    if (label === undefined) throw notFound();
    return label;
  }

  async #seen(caller: Caller, id: string): Promise<Document<LabelRecord> | undefined> {
    const label = await this.store.get(labels, id, caller.signal);
    if (label === undefined || caller.principal.superUser) return label;
    const owners = await this.#owners(caller, [ownerOf(label.value)]);
    return owners.length === 0 ? undefined : label;
  }

  async create(caller: Caller, { metadata, spec }: LabelCreate): Promise<Accepted> {
    const { properties = {} } = spec;
    checkProperties(properties);
    const owner = await this.#ownerOfNew(caller, spec);
    const count = await this.store.count(labels, { filter: { owner_id: ownerOf(owner) } }, caller.signal);
    if (count >= labelLimit)
      throw new ApiError('unprocessable', `There are ${labelLimit} labels, which is the most.`);
    const made = { creationTime: timestamp(), createdBy: caller.principal.name };
    const label: LabelRecord = { ...metadata, ...owner, properties, ...made };
    return withName(added(this.store, labels, caller, label), taken(metadata.name));
  }

  async #ownerOfNew(
    caller: Caller,
    { organizationId, projectId }: LabelCreate['spec'],
  ): Promise<Pick<LabelRecord, 'organizationId' | 'projectId'>> {
    if (projectId !== undefined) {
      const project = await this.projects.load(projectId, caller.signal);
      if (project === undefined || !rightsIn(project, caller.principal).includes('read'))
        throw notFoundAt('/spec/projectId', 'project');
      if (organizationId !== undefined && project.value.organizationId !== organizationId)
        throw notFoundAt('/spec/organizationId', 'organization of the project');
      await this.#demand(caller, { organizationId: project.value.organizationId, projectId });
      return { organizationId: project.value.organizationId, projectId };
    }
    if (organizationId === undefined) {
      const message = 'Set projectId, or organizationId for a label of all its projects.';
      throw new ApiError('invalid_body', message, { errors: [{ pointer: '/spec/projectId', message }] });
    }
    const known = await this.store.get(organizations, organizationId, caller.signal);
    const seen = caller.principal.superUser || (await this.#owners(caller, [organizationId])).length > 0;
    if (known === undefined || !seen) throw notFoundAt('/spec/organizationId', 'organization');
    await this.#demand(caller, { organizationId });
    return { organizationId };
  }

  /** Who sees a label of a project and may operate there changes it; one of an organization, superusers. */
  async #demand(caller: Caller, { projectId }: Pick<LabelRecord, 'organizationId' | 'projectId'>) {
    const { principal } = caller;
    if (principal.superUser) return;
    if (principal.limits?.tags !== undefined)
      throw new ApiError('forbidden', 'A credential that is limited by tags changes no labels.');
    if (projectId === undefined)
      throw new ApiError('forbidden', 'Only superusers change the labels of an organization.');
    const project = await this.projects.get(caller, projectId);
    if (!rightsIn(project, principal).includes('operate') || !allows(principal, 'update'))
      throw rightMissing('operate');
  }

  async patch(caller: Caller, id: string, { metadata = {}, spec = {} }: LabelPatch): Promise<Accepted> {
    await this.#demand(caller, (await this.get(caller, id)).value);
    const change = ({ description: old, ...label }: LabelRecord): LabelRecord => {
      const { name, description } = merged({ name: label.name, description: old }, metadata) as {
        name: string;
        description?: string;
      };
      const properties = merged(label.properties, spec.properties ?? {}) as LabelRecord['properties'];
      checkProperties(properties);
      return { ...label, ...defined({ description }), name, properties };
    };
    return withName(modified(this.store, labels, caller, id, change), taken(metadata.name ?? ''));
  }

  /** From whatever has it, too. */
  async delete(caller: Caller, id: string): Promise<void> {
    await this.#demand(caller, (await this.get(caller, id)).value);
    await removed(this.store, labels, caller, id);
    for (;;) {
      const query = { order: 'id', filter: { label_id: id }, limit: pageSize };
      const uses = await this.store.page(labelUses, query);
      if (uses.length === 0) return;
      await unlessRaced(this.store.write(uses.map((use) => remove(labelUses, use))));
    }
  }

  /** The labels of a resource that the caller may see, by name. */
  async ofResource(caller: Caller, type: LabelledType, resourceId: string): Promise<Label[]> {
    if ((await labelled[type](this.store, resourceId)) === undefined) throw notFound();
    const query = { order: 'id', filter: { type, resource_id: resourceId }, limit: useLimit };
    const uses = await this.store.page(labelUses, query, caller.signal);
    const found = await Promise.all(uses.map(({ value }) => this.store.get(labels, value.labelId)));
    return found
      .filter((label) => label !== undefined)
      .map(({ id, value }) => presentLabel(id, value))
      .sort((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1));
  }

  attach(caller: Caller, type: LabelledType, resourceId: string, labelId: string): Promise<Accepted> {
    return retrying(async () => {
      const scope: LabelScope | undefined = await labelled[type](this.store, resourceId);
      if (scope === undefined) throw notFound();
      const label = await this.#seen(caller, labelId);
      if (label === undefined || !fits(label.value, scope))
        throw notFoundAt('/labelID', 'label of the project or of its organization');
      const where = { filter: { type, resource_id: resourceId } };
      if ((await this.store.count(labelUses, where, caller.signal)) >= useLimit)
        throw new ApiError('unprocessable', `A resource has at most ${useLimit} labels.`);
      const text = JSON.stringify(presentLabel(labelId, label.value));
      const accepted = { id: labelId, text, revision: label.revision };
      const after = { labelId, name: label.value.name };
      const resource = { type, id: resourceId };
      const audit = await audited(this.store, caller, 'label.attach', resource, null, after);
      const use = insert(labelUses, uuidv7(), { labelId, type, resourceId });
      const writes = [check(labels, label), use, ...audit, ...(caller.storeResponse?.(accepted) ?? [])];
      await this.store.write(writes, caller.signal).catch(rethrowTaken);
      return accepted;
    });
  }

  detach(caller: Caller, type: LabelledType, resourceId: string, labelId: string): Promise<void> {
    return retrying(async () => {
      const use = await this.store.find(labelUses, 'use', [labelId, type, resourceId], caller.signal);
      if (use === undefined) throw notFound();
      const name = (await this.store.get(labels, labelId))?.value.name;
      const before = defined({ labelId, name });
      const resource = { type, id: resourceId };
      const audit = await audited(this.store, caller, 'label.detach', resource, before, null);
      await this.store.write([remove(labelUses, use), ...audit], caller.signal);
    });
  }

  /** Removes what deleted resources and projects have left behind; returns how much. */
  async purge(signal: AbortSignal): Promise<number> {
    let count = 0;
    for (let after: [string] | undefined; ;) {
      const query = { order: 'id', limit: pageSize, ...defined({ after }) };
      const uses = await this.store.page(labelUses, query, signal);
      for (const use of uses) {
        signal.throwIfAborted();
        const { type, resourceId, labelId } = use.value;
        const resource = await labelled[type as LabelledType](this.store, resourceId);
        const label = resource && (await this.store.get(labels, labelId));
        if (label === undefined && (await unlessRaced(this.store.write([remove(labelUses, use)]))))
          count += 1;
      }
      const last = uses.at(-1);
      if (last === undefined || uses.length < pageSize) return count;
      after = [last.id];
    }
  }
}

function ownerOf({ organizationId, projectId }: Pick<LabelRecord, 'organizationId' | 'projectId'>): string {
  return projectId ?? organizationId;
}

function fits(label: LabelRecord, { organizationId, projectId }: LabelScope): boolean {
  if (organizationId === undefined) return true;
  if (label.projectId !== undefined) return label.projectId === projectId;
  return label.organizationId === organizationId;
}

function taken(name: string): string {
  return `There is already a label named "${name}" there.`;
}

function rethrowTaken(error: unknown): never {
  if (!(error instanceof StoreConflict) || error.key !== 'use') throw error;
  const message = 'The resource has the label already.';
  throw new ApiError('already_exists', message, { errors: [{ pointer: '/labelID', message }] });
}
