import { defined } from '../model/common.js';
import { ApiError, notFound, notFoundAt, rightMissing } from '../model/error.js';
import { peopleIn, presentProject, type ProjectRecord, rightsIn } from '../model/project.js';
import { type Grants, projectsBeyondMembership } from '../model/role.js';
import type { Interruption } from '../model/interruption.js';
import type { Caller } from './caller.js';
import type { AuditedCollection } from './change.js';
import { ReadCache } from './store/cache.js';
import {
  type CollectionSpec,
  type Document,
  emptyPage,
  type ListPage,
  type Store,
  type TextPage,
  type TextQuery,
} from './store/port.js';

export const projects: AuditedCollection<ProjectRecord> = {
  name: 'projects',
  auditedAs: 'project',
  columns: { organization_id: 'text', name: 'text', people: 'set', labels: 'set' },
  columnsOf: (_id, project) => ({
    organization_id: project.organizationId,
    name: project.name,
    people: peopleIn(project),
    labels: project.labels ?? [],
  }),
  present: presentProject,
  unique: { name: ['organization_id', 'name'] },
  orders: { id: [] },
};

/** A query for a collection whose documents belong to projects. */
export interface ContentsFilter {
  projectIds?: readonly string[] | undefined;
  columns?: Readonly<Record<string, string | readonly string[] | null | undefined>>;
  has?: TextQuery['has'] | undefined;
  span?: TextQuery['span'] | undefined;
}

/** Maximum number of projects per user for which one query serves every list. */
const membershipLimit = 1000;

/** Number of matches that are counted for one request at most. */
export const countLimit = 10_000;

export class ProjectData {
  readonly #store: Store;
  readonly #loaded: ReadCache<Document<ProjectRecord>>;
  /** The projects of each user, for creates that name none. */
  readonly #memberships: ReadCache<Document<ProjectRecord>[]>;

  constructor(store: Store) {
    this.#store = store;
    this.#loaded = new ReadCache(store, [projects.name]);
    this.#memberships = new ReadCache(store, [projects.name]);
  }

  /** Undefined if absent. No visibility check: used by the pipeline's project context. */
  load(id: string, signal?: Interruption): Promise<Document<ProjectRecord> | undefined> {
    return this.#loaded.read(id, () => this.#store.get(projects, id, signal));
  }

  /** The project, if the caller may see it; otherwise `not_found`. */
  async get(caller: Caller, id: string): Promise<Document<ProjectRecord>> {
    const project = await this.#seenBy(caller, id);
    if (project === undefined) throw notFound();
    return project;
  }

  async #seenBy(caller: Caller, id: string): Promise<Document<ProjectRecord> | undefined> {
    const project = await this.load(id, caller.signal);
    return project !== undefined && rightsIn(project, caller.principal).includes('read')
      ? project
      : undefined;
  }

  /** The projects in which the caller has a role, and those that their credential names, if they may see them. */
  async visible(caller: Caller): Promise<Document<ProjectRecord>[]> {
    const { principal, signal } = caller;
    const beyond = projectsBeyondMembership(principal);
    const found =
      typeof beyond === 'object'
        ? await Promise.all([...beyond].sort().map((id) => this.load(id, signal)))
        : await this.#memberOf(caller);
    return found
      .filter((project) => project !== undefined)
      .filter((project) => rightsIn(project, principal).includes('read'));
  }

  /** The projects in which the caller has a role. */
  async #memberOf({ principal, signal }: Caller): Promise<Document<ProjectRecord>[]> {
    const { id, grants } = principal;
    const query = { order: 'id', has: { people: [id] }, limit: membershipLimit };
    const stored = await this.#store.page(projects, query, signal);
    return grants === undefined ? stored : byId([...stored, ...(await this.#granted(grants, signal))]);
  }

  /** The projects in which a credential brings a role with it. */
  async #granted(grants: Grants, signal: AbortSignal): Promise<Document<ProjectRecord>[]> {
    const of = async (column: string, roles: object) => {
      const ids = Object.keys(roles);
      const query = { order: 'id', filter: { [column]: ids }, limit: membershipLimit };
      return ids.length === 0 ? [] : this.#store.page(projects, query, signal);
    };
    const found = await Promise.all([of('id', grants.projects), of('organization_id', grants.organizations)]);
    return found.flat();
  }

  /** Ids of those requested projects whose contents the caller may see; undefined means all. */
  async scope(caller: Caller, wanted?: readonly string[]): Promise<readonly string[] | undefined> {
    if (projectsBeyondMembership(caller.principal) === 'all') return wanted;
    const visible = (await this.visible(caller)).map((project) => project.id);
    return wanted === undefined ? visible : visible.filter((id) => wanted.includes(id));
  }

  /**
   * A page of documents that belong to projects, by their column `project_id`: those requested that the caller may see.
   */
  async contents(
    collection: CollectionSpec<never>,
    caller: Caller,
    wanted: ContentsFilter,
    page: ListPage,
  ): Promise<TextPage> {
    const scope = await this.scope(caller, wanted.projectIds);
    if (scope?.length === 0) return emptyPage;
    const { has, span } = wanted;
    const filter = defined({ project_id: scope, ...wanted.columns });
    return this.#store.pageTexts(collection, defined({ ...page, filter, has, span }), caller.signal);
  }

  /** The number of such documents; undefined if there are more than `countLimit`. */
  async count(
    collection: CollectionSpec<never>,
    caller: Caller,
    wanted: ContentsFilter,
  ): Promise<number | undefined> {
    const scope = await this.scope(caller, wanted.projectIds);
    if (scope?.length === 0) return 0;
    const { has, span } = wanted;
    const filter = defined({ project_id: scope, ...wanted.columns });
    const query = defined({ filter, has, span, atMost: countLimit + 1 });
    const count = await this.#store.count(collection, query, caller.signal);
    return count > countLimit ? undefined : count;
  }

  /** `labels`: only those that have all of them. */
  async list(caller: Caller, page: ListPage, labels: readonly string[] = []): Promise<TextPage> {
    const { principal, signal } = caller;
    if (projectsBeyondMembership(principal) === 'all')
      return this.#store.pageTexts(projects, { ...page, has: { labels } }, signal);
    if (principal.limits?.projectIds === undefined && principal.grants === undefined)
      return this.#store.pageTexts(projects, { ...page, has: { people: [principal.id], labels } }, signal);
    const visible = await this.visible(caller);
    const wanted = visible.filter(({ value }) => labels.every((id) => value.labels?.includes(id) === true));
    return pageOf(wanted, page);
  }

  /**
   * The project of a create: the given one, or the only one in which the caller may create. The batch of the create
   * must `check` it: it may be deleted or disabled meanwhile.
   */
  async choose(
    caller: Caller,
    wanted: { organizationId?: string | undefined; projectId?: string | undefined },
  ): Promise<Document<ProjectRecord>> {
    const { projectId, organizationId } = wanted;
    const project =
      projectId === undefined ? await this.#only(caller) : await this.#seenBy(caller, projectId);
    if (project === undefined) throw notFoundAt('/spec/projectId', 'project');
    if (organizationId !== undefined && project.value.organizationId !== organizationId)
      throw notFoundAt('/spec/organizationId', 'organization of the project');
    if (!rightsIn(project, caller.principal).includes('operate')) throw rightMissing('operate');
    if (project.value.deletionTime !== undefined)
      throw new ApiError('being_deleted', `Project "${project.value.name}" is being deleted.`);
    if (!project.value.enabled) {
      throw new ApiError('forbidden', `Project "${project.value.name}" is disabled and accepts no new work.`);
    }
    return project;
  }

  async #only(caller: Caller): Promise<Document<ProjectRecord>> {
    const { principal } = caller;
    const { id, limits, grants } = principal;
    const mine =
      limits === undefined
        ? ((await this.#memberships.read(`${id} ${grants?.key ?? ''}`, () => this.#memberOf(caller))) ?? [])
        : await this.visible(caller);
    const [first] = mine;
    if (first !== undefined && mine.length === 1) return first;
    const usable = mine.filter((project) => rightsIn(project, principal).includes('operate'));
    const [only] = usable;
    if (only !== undefined && usable.length === 1) return only;
    if (first !== undefined && only === undefined) throw rightMissing('operate');
    const message =
      usable.length === 0
        ? 'You are not a member of any project; ask an administrator to add you to one.'
        : `You are a member of ${usable.length} projects; set projectId.`;
    throw new ApiError('invalid_body', message, { errors: [{ pointer: '/spec/projectId', message }] });
  }
}

/** A page of a few documents that are known already, ordered by id. */
function pageOf(known: readonly Document<ProjectRecord>[], page: ListPage): TextPage {
  const { after, inclusive = false, limit, descending = false, reversed = false } = page;
  const sign = descending ? -1 : 1;
  const ordered = [...known].sort((one, other) => (one.id < other.id ? -sign : sign));
  const at = after?.at(-1);
  const rest =
    at === undefined
      ? ordered
      : ordered.filter(({ id }) => (id === at ? inclusive : descending ? id < String(at) : id > String(at)));
  const rows = rest.slice(0, limit);
  const last = rows.length === limit ? rows.at(-1) : undefined;
  const texts = rows.map(({ id, value }) => JSON.stringify(presentProject(id, value)));
  const body = Buffer.from(`[${(reversed ? texts.reverse() : texts).join(',')}]`);
  return defined({ body, more: rest.length > rows.length, last: last && [last.id] });
}

/** Each once, in the order of their ids. */
function byId(found: readonly Document<ProjectRecord>[]): Document<ProjectRecord>[] {
  const unique = new Map(found.map((project) => [project.id, project]));
  return [...unique.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
}
