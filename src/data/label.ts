/** Labels, and which resources have them: each names the ids of its own, in the same way for all types of resources. */
import { defined, timestamp } from '../model/common.js';
import { ApiError, notFound, notFoundAt, orNotFound, rightMissing } from '../model/error.js';
import {
  checkProperties,
  type Label,
  type LabelCreate,
  type LabelPatch,
  type LabelRecord,
  presentLabel,
  type WithLabels,
} from '../model/label.js';
import { merged } from '../model/merge-patch.js';
import { rightsIn } from '../model/project.js';
import { allows } from '../model/role.js';
import { type AuditEntry, auditedAll, recordedChange } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { added, type AuditedCollection, type Changeable, modified, withName } from './change.js';
import { by } from './instance-change.js';
import { instances } from './instance.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { ResourceData } from './resource.js';
import {
  check,
  type CollectionSpec,
  type Document,
  emptyPage,
  type ListPage,
  remove,
  replace,
  type Store,
  type TextPage,
  type Write,
} from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';
import { users } from './user.js';
import { instanceAfter } from './wish.js';

export const labels: AuditedCollection<LabelRecord> = {
  name: 'labels',
  auditedAs: 'label',
  columns: { organization_id: 'text', owner_id: 'text', name: 'text', deleting: 'integer' },
  columnsOf: (_id, label) => ({
    organization_id: label.organizationId,
    owner_id: ownerOf(label),
    name: label.name,
    deleting: label.deletionTime === undefined ? 0 : 1,
  }),
  present: presentLabel,
  unique: { name: ['owner_id', 'name'] },
  orders: { id: [] },
  indexes: [['owner_id'], ['deleting']],
};

/** Of which labels a resource may have some: of its project, of its organization; `{}`: of any. */
interface LabelScope {
  organizationId?: string;
  projectId?: string;
}

/** A type of resources that has labels: its collection has a set column `labels`. */
interface LabelledKind<R extends WithLabels> {
  collection: CollectionSpec<R>;
  scopeOf: (id: string, value: R) => LabelScope;
  /** What is stored when the labels of one change. */
  after: (caller: Caller, before: Document<R>, next: R) => R;
}

function kindOf<R extends WithLabels & Changeable>(
  collection: CollectionSpec<R>,
  scopeOf: LabelledKind<R>['scopeOf'],
  after: LabelledKind<R>['after'] = ({ principal }, _before, next) => ({
    ...next,
    modifiedTime: timestamp(),
    modifiedBy: principal.name,
  }),
): LabelledKind<WithLabels> {
  return { collection, scopeOf, after } as unknown as LabelledKind<WithLabels>;
}

/** Each type of resources that has labels. */
const labelled = {
  instance: kindOf(
    instances,
    (_id, instance) => instance,
    (caller, before, next) => instanceAfter(before, by(caller, next)),
  ),
  project: kindOf(projects, (projectId, { organizationId }) => ({ organizationId, projectId })),
  organization: kindOf(organizations, (organizationId) => ({ organizationId })),
  user: kindOf(users, () => ({})),
} satisfies Record<string, LabelledKind<WithLabels>>;

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
  /** The labels of the caller's projects and of their organizations, and of those that they are in. */
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
    const { id: userId, limits } = caller.principal;
    const query = { order: 'id', has: { people: [userId] }, limit: 1000 };
    const joined = limits === undefined ? await this.store.page(organizations, query, caller.signal) : [];
    const own = new Set([
      ...visible.flatMap(({ id, value }) => [id, value.organizationId]),
      ...joined.map(({ id }) => id),
    ]);
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
    const { owner, still } = await this.#ownerOfNew(caller, spec);
    const count = await this.store.count(labels, { filter: { owner_id: ownerOf(owner) } }, caller.signal);
    if (count >= labelLimit)
      throw new ApiError('unprocessable', `There are ${labelLimit} labels, which is the most.`);
    const made = { creationTime: timestamp(), createdBy: caller.principal.name };
    const label: LabelRecord = { ...metadata, ...owner, properties, ...made };
    return withName(
      added(this.store, labels, caller, label, () => still),
      taken(metadata.name),
    );
  }

  /** `still`: what must be so in the same step. */
  async #ownerOfNew(
    caller: Caller,
    { organizationId, projectId }: LabelCreate['spec'],
  ): Promise<{ owner: Pick<LabelRecord, 'organizationId' | 'projectId'>; still: Write[] }> {
    if (projectId !== undefined) {
      const project = await this.projects.load(projectId, caller.signal);
      if (project === undefined || !rightsIn(project, caller.principal).includes('read'))
        throw notFoundAt('/spec/projectId', 'project');
      if (organizationId !== undefined && project.value.organizationId !== organizationId)
        throw notFoundAt('/spec/organizationId', 'organization of the project');
      await this.#demand(caller, { organizationId: project.value.organizationId, projectId });
      if (project.value.deletionTime !== undefined)
        throw new ApiError('being_deleted', `Project "${project.value.name}" is being deleted.`);
      const owner = { organizationId: project.value.organizationId, projectId };
      return { owner, still: [check(projects, project)] };
    }
    if (organizationId === undefined) {
      const message = 'Set projectId, or organizationId for a label of all its projects.';
      throw new ApiError('invalid_body', message, { errors: [{ pointer: '/spec/projectId', message }] });
    }
    const known = await this.store.get(organizations, organizationId, caller.signal);
    const seen = caller.principal.superUser || (await this.#owners(caller, [organizationId])).length > 0;
    if (known === undefined || !seen) throw notFoundAt('/spec/organizationId', 'organization');
    await this.#demand(caller, { organizationId });
    return { owner: { organizationId }, still: [] };
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
    const { value } = await this.get(caller, id);
    await this.#demand(caller, value);
    await erase(this.store, caller, id);
  }

  /** The labels of a resource, by name. */
  async ofResource(caller: Caller, type: LabelledType, resourceId: string): Promise<Label[]> {
    const { labels: ids = [] } = (await this.#resource(caller, type, resourceId)).value;
    const found = await Promise.all(ids.map((id) => this.store.get(labels, id, caller.signal)));
    return found
      .filter((label) => label !== undefined)
      .map(({ id, value }) => presentLabel(id, value))
      .sort((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1));
  }

  async #resource(caller: Caller, type: LabelledType, id: string): Promise<Document<WithLabels>> {
    return orNotFound(await this.store.get(labelled[type].collection, id, caller.signal));
  }

  /** `reverts`: the record that this undoes; the response is then the new record. */
  attach(
    caller: Caller,
    type: LabelledType,
    resourceId: string,
    labelId: string,
    reverts?: string,
  ): Promise<Accepted> {
    return retrying(async () => {
      const resource = await this.#resource(caller, type, resourceId);
      const { labels: ids = [] } = resource.value;
      const label = await this.#seen(caller, labelId);
      const fit =
        label !== undefined && fits(label.value, labelled[type].scopeOf(resourceId, resource.value));
      if (!fit || label.value.deletionTime !== undefined)
        throw notFoundAt('/labelID', 'label of the project or of its organization');
      if (ids.includes(labelId)) throw hasAlready();
      if (ids.length >= useLimit)
        throw new ApiError('unprocessable', `A resource has at most ${useLimit} labels.`);
      const text = JSON.stringify(presentLabel(labelId, label.value));
      const accepted = { id: labelId, text, revision: label.revision };
      const after = { labelId, name: label.value.name };
      const about = { type, id: resourceId };
      const writes = [check(labels, label), relabelled(caller, type, resource, [...ids, labelId])];
      const entry = { action: 'label.attach', resource: about, before: null, after };
      if (reverts === undefined) {
        const audit = await auditedAll(this.store, caller, [entry]);
        writes.push(...audit.writes, ...(caller.storeResponse?.(accepted) ?? []));
        await this.store.write(writes, caller.signal);
        return accepted;
      }
      const undone = await recordedChange(this.store, caller, { ...entry, reverts });
      await this.store.write([...writes, ...undone.writes], caller.signal);
      return undone.accepted;
    });
  }

  /** Returns the record of it. */
  detach(
    caller: Caller,
    type: LabelledType,
    resourceId: string,
    labelId: string,
    reverts?: string,
  ): Promise<Accepted> {
    return retrying(async () => {
      const resource = await this.#resource(caller, type, resourceId);
      const { labels: ids = [] } = resource.value;
      if (!ids.includes(labelId)) throw notFound();
      const name = (await this.store.get(labels, labelId))?.value.name;
      const before = defined({ labelId, name });
      const about = { type, id: resourceId };
      const entry = { action: 'label.detach', resource: about, before, after: null, ...defined({ reverts }) };
      const { accepted, writes } = await recordedChange(this.store, caller, entry);
      const rest = ids.filter((id) => id !== labelId);
      await this.store.write([relabelled(caller, type, resource, rest), ...writes], caller.signal);
      return accepted;
    });
  }

  /** Completes deletions that have died; returns how many. */
  async completeDeletions(caller: Caller): Promise<number> {
    const query = { order: 'id', filter: { deleting: 1 }, limit: pageSize };
    const left = await this.store.page(labels, query, caller.signal);
    for (const { id } of left) {
      caller.signal.throwIfAborted();
      await erase(this.store, caller, id).catch(unlessGone);
    }
    return left.length;
  }
}

/** The labels of a project that is being deleted. */
export async function eraseLabelsOf(store: Store, caller: Caller, projectId: string): Promise<void> {
  const query = { order: 'id', filter: { owner_id: projectId }, limit: labelLimit };
  for (const { id } of await store.page(labels, query)) await erase(store, caller, id).catch(unlessGone);
}

/**
 * Deletes a label. It is marked first, and then nothing takes it on: once it is off everything that has it, no resource
 * names it any more. Returns the record of it.
 */
export async function erase(
  store: Store,
  caller: Caller,
  id: string,
  how: Pick<AuditEntry, 'action' | 'reverts'> = { action: 'label.delete' },
): Promise<Accepted> {
  await retrying(async () => {
    const found = orNotFound(await store.get(labels, id, caller.signal));
    caller.precondition?.({ revision: found.revision, wishRevision: found.revision });
    if (found.value.deletionTime !== undefined) return;
    const marked = { ...found.value, deletionTime: timestamp() };
    await store.write([replace(labels, found, marked)], caller.signal);
  });
  for (const type of Object.keys(labelled) as LabelledType[]) await takeOff(store, caller, type, id);
  // From here to the end, even if the client leaves.
  return retrying(async () => {
    const found = orNotFound(await store.get(labels, id));
    const { deletionTime: _, ...before } = found.value;
    const entry = { ...how, resource: { type: labels.auditedAs, id }, before, after: null };
    const { accepted, writes } = await recordedChange(store, caller, entry);
    await store.write([remove(labels, found), ...writes]);
    return accepted;
  });
}

async function takeOff(store: Store, caller: Caller, type: LabelledType, id: string): Promise<void> {
  for (;;) {
    const query = { order: 'id', has: { labels: [id] }, limit: pageSize };
    const found = await store.page(labelled[type].collection, query);
    if (found.length === 0) return;
    for (const resource of found) {
      const rest = (resource.value.labels ?? []).filter((one) => one !== id);
      // One that has been changed meanwhile is in the next page.
      await unlessRaced(store.write([relabelled(caller, type, resource, rest)]));
    }
  }
}

/** The write that gives a resource these labels. */
function relabelled(
  caller: Caller,
  type: LabelledType,
  resource: Document<WithLabels>,
  ids: readonly string[],
): Write {
  const { collection, after } = labelled[type];
  const { labels: _, ...rest } = resource.value;
  const next: WithLabels = ids.length === 0 ? rest : { ...rest, labels: [...ids] };
  return replace(collection, resource, after(caller, resource, next));
}

function unlessGone(error: unknown): void {
  if (!(error instanceof ApiError && error.code === 'not_found')) throw error;
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

function hasAlready(): ApiError {
  const message = 'The resource has the label already.';
  return new ApiError('already_exists', message, { errors: [{ pointer: '/labelID', message }] });
}
