/**
 * What a credential that is limited by tags may see besides instances: the tasks and events of instances that have the
 * tags now, or, of a deleted one, had them when it was last seen.
 */
import { LRUCache } from 'lru-cache';
import { ApiError } from '../model/error.js';
import type { InstanceRecord } from '../model/instance.js';
import type { Interruption } from '../model/interruption.js';
import { tagText } from '../model/key-limits.js';
import type { Limits } from '../model/role.js';
import type { Task } from '../model/task.js';
import type { Principal } from '../model/user.js';
import type { Caller } from './caller.js';
import { instances } from './instance.js';
import type { ProjectData } from './project.js';
import type { Change, Store } from './store/port.js';
import { tasks } from './task.js';

/** Instances whose tasks one list can show. */
const instanceLimit = 1000;

/** Deleted instances whose tags are remembered. */
const memoryLimit = 10_000;

const hasAll = (wanted: readonly string[], present: readonly string[]) =>
  wanted.every((tag) => present.includes(tag));

const textsOf = ({ tags }: Pick<InstanceRecord, 'tags'>) => (tags ?? []).map(tagText);

export class TagScope {
  readonly #store: Store;
  readonly #projects: ProjectData;
  /** Tags of instances when they were last seen. */
  readonly #seen = new LRUCache<string, readonly string[]>({ max: memoryLimit });

  constructor(store: Store, projects: ProjectData) {
    this.#store = store;
    this.#projects = projects;
  }

  /** Ids of the instances that the caller may see; undefined: their tags do not matter. */
  async instanceIds(caller: Caller): Promise<readonly string[] | undefined> {
    const { tags } = caller.principal.limits ?? {};
    if (tags === undefined) return undefined;
    const page = { order: 'id', limit: instanceLimit };
    const { body, more } = await this.#projects.contents(instances, caller, { has: { tags } }, page);
    if (more) {
      const message = `More than ${instanceLimit} instances have the tags of your credential; it cannot list their tasks.`;
      throw new ApiError('unprocessable', message);
    }
    return (JSON.parse(body.toString()) as { metadata: { id: string } }[]).map(({ metadata }) => metadata.id);
  }

  /** The ids among these that the caller may see; undefined: all that there are. */
  async among(caller: Caller, wanted?: readonly string[]): Promise<readonly string[] | undefined> {
    const seen = await this.instanceIds(caller);
    if (seen === undefined || wanted === undefined) return seen ?? wanted;
    return seen.filter((id) => wanted.includes(id));
  }

  /** Whether a task is one of an instance that the credential may see, or was requested with it. */
  async hasTask({ limits, keyId }: Pick<Principal, 'limits' | 'keyId'>, id: string): Promise<boolean> {
    if (limits?.tags === undefined) return true;
    const task = await this.#store.get(tasks, id);
    if (task === undefined) return false;
    const { subject } = task.value;
    if (keyId !== undefined && task.value.keyId === keyId) return true;
    return subject?.type === 'instance' && this.#hasInstance(limits, subject.id);
  }

  async #hasInstance({ tags = [] }: Limits, id: string, signal?: Interruption): Promise<boolean> {
    const present = await this.#store.get(instances, id, signal);
    const texts = present === undefined ? this.#seen.get(id) : textsOf(present.value);
    return texts !== undefined && hasAll(tags, texts);
  }

  /** The changes of which a caller limited by tags may know. */
  async visible(caller: Caller, changes: readonly Change[], signal?: AbortSignal): Promise<Change[]> {
    const { limits } = caller.principal;
    if (limits?.tags === undefined) return [...changes];
    const known = new Map<string, boolean>();
    const visible: Change[] = [];
    for (const change of changes) {
      const own = tagsOfChange(change);
      if (own !== undefined) {
        this.#seen.set(change.id, own);
        if (hasAll(limits.tags, own)) visible.push(change);
        continue;
      }
      const id = instanceOf(change);
      if (id === undefined) continue;
      const has = known.get(id) ?? (await this.#hasInstance(limits, id, signal));
      known.set(id, has);
      if (has) visible.push(change);
    }
    return visible;
  }
}

function tagsIn(text: string): readonly string[] {
  return textsOf((JSON.parse(text) as { metadata: Pick<InstanceRecord, 'tags'> }).metadata);
}

/** The tags that an instance had after the change; undefined for any other change. */
function tagsOfChange({ collection, text }: Change): readonly string[] | undefined {
  return collection === instances.name && text !== null ? tagsIn(text) : undefined;
}

/** The instance that a removal, or a task, is about. */
function instanceOf({ collection, id, text }: Change): string | undefined {
  if (collection === instances.name) return id;
  if (collection !== tasks.name || text === null) return undefined;
  return (JSON.parse(text) as Pick<Task, 'subject'>).subject?.id;
}
