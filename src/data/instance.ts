import { uuidv7 } from 'uuidv7';
import { defined, idTime, timestamp } from '../model/common.js';
import { notFound, orNotFound } from '../model/error.js';
import { type InstanceCreate, type InstanceRecord, presentInstance } from '../model/instance.js';
import type { InstancePatch, InstanceUpdate } from '../model/instance-update.js';
import { chargeOf } from '../model/quota.js';
import { taskEffects } from '../model/task-effects.js';
import type { TaskInput, TaskType, TaskTypeOn } from '../model/task.js';
import type { Interruption } from '../model/interruption.js';
import type { Accepted, Caller } from './caller.js';
import { withName } from './change.js';
import {
  by,
  type ChangeOptions,
  changedRecord,
  changeAudited,
  checkAsked,
  checkUnwritable,
  conversion,
  patchedUpdate,
  pick,
  protection,
  replacedBy,
  replaceRequired,
  written,
} from './instance-change.js';
import { instances } from './instance-collection.js';
import { contentsOf, type InstanceFilter } from './instance-filter.js';
import { checkReferences, checkUserData, firstExpiry } from './instance-rules.js';
import { checkFree, checkLiving, openTasksOf, sharable, superseded } from './open-tasks.js';
import { checkChange, checkMayCreate, createdWithin, tallied } from './key-limit.js';
import type { NetworkData } from './network.js';
import { carryOut } from './plan.js';
import { type ProjectData, projects } from './project.js';
import { charge, chargeChange } from './quota.js';
import type { RegionData } from './region.js';
import type { SettingsData } from './settings.js';
import {
  check,
  type Document,
  insert,
  type ListPage,
  replace,
  type Store,
  type StoredText,
  type TextPage,
  type Write,
} from './store/port.js';
import { retrying } from './store/retry.js';
import { openTask } from './task.js';
import { checkUnprotected, type DeleteOptions, isInTrash, trashed, untrashed } from './trash.js';
import { instanceAfter, sameInstanceWish, standingOf } from './wish.js';

export { instances } from './instance-collection.js';

export class InstanceData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #networks: NetworkData;
  readonly #regions: RegionData;
  readonly #settings: SettingsData;

  constructor(
    store: Store,
    projects: ProjectData,
    networks: NetworkData,
    regions: RegionData,
    settings: SettingsData,
  ) {
    this.#store = store;
    this.#projects = projects;
    this.#networks = networks;
    this.#regions = regions;
    this.#settings = settings;
  }

  /** Undefined if absent. No visibility check. */
  load(id: string, signal?: AbortSignal): Promise<Document<InstanceRecord> | undefined> {
    return this.#store.get(instances, id, signal);
  }

  /** One read for both the access decision and the instance itself; undefined if it is absent. */
  readForAccess(id: string, signal?: Interruption): Promise<StoredText | undefined> {
    return this.#store.text(instances, id, 'project_id', signal);
  }

  /** The public text of an instance. Absent: `not_found`. */
  async text(caller: Caller, id: string): Promise<StoredText> {
    return orNotFound(await this.readForAccess(id, caller.signal));
  }

  list(caller: Caller, filter: InstanceFilter, page: ListPage): Promise<TextPage> {
    return this.#projects.contents(instances, caller, contentsOf(caller, filter), page);
  }

  /** The number of instances in such a list, if it is at most `countLimit`. */
  count(caller: Caller, filter: InstanceFilter): Promise<number | undefined> {
    return this.#projects.count(instances, caller, contentsOf(caller, filter));
  }

  /** Stores the instance and its create task in one step. Errors: Unikorn section 2.5, in its order. */
  create(caller: Caller, body: InstanceCreate): Promise<Accepted> {
    return retrying(() => this.#create(caller, body));
  }

  async #create(caller: Caller, body: InstanceCreate): Promise<Accepted> {
    this.#settings.demand('creation', 'Creating instances');
    const { metadata, spec } = body;
    checkMayCreate(caller.principal);
    const project = await this.#projects.choose(caller, spec);
    const network = await this.#networks.choose(caller, project.id, spec);
    checkAsked(body);
    checkUserData(spec.userData);
    const { organizationId } = project.value;
    const { regionId } = network.value;
    const wanted = { organizationId, projectId: project.id, regionId, ...pick(spec) };
    const { flavor, checks } = await checkReferences(this.#regions, wanted, caller);
    const id = uuidv7();
    const wished: InstanceRecord = {
      organizationId,
      projectId: project.id,
      networkId: network.id,
      regionId,
      ...written(metadata),
      ...pick(spec),
      ...(flavor === undefined ? {} : { flavor }),
      ...(spec.userData === undefined || spec.userData === '' ? {} : { userData: spec.userData }),
      ...protection(spec),
      ...firstExpiry(spec.expiresAt, this.#settings.expiry),
      // Time windows of lists are ranges of ids.
      creationTime: timestamp(new Date(idTime(id))),
      createdBy: caller.principal.name,
      provisioning: { status: 'pending' },
      desiredPower: 'running',
      openTasks: [],
    };
    const asked = createdWithin(caller.principal, wished, spec.expiresAt);
    const record = taskEffects['instance.create'].onAccepted(asked);
    const task = openTask('instance', { id, revision: 0, value: record }, 'instance.create', {}, caller);
    const made: InstanceRecord = { ...record, openTasks: task.openTasks, wishRevision: 1, shown: {} };
    const amount = chargeOf(made);
    const { record: stored, writes: quota } = await charge(
      this.#store,
      project,
      made,
      amount,
      '/spec/flavorId',
    );
    const accepted = { id, taskId: task.id, text: JSON.stringify(presentInstance(id, stored)), revision: 1 };
    const writes = [check(projects, project), ...checks, insert(instances, id, stored), task.write, ...quota];
    const taken = `The project already has an instance named "${metadata.name}".`;
    return withName(this.#storeNew(caller, accepted, writes, stored), taken);
  }

  /** Stores a new instance, counted against the number that the caller's key allows. */
  async #storeNew(
    caller: Caller,
    accepted: Accepted,
    writes: readonly Write[],
    after: InstanceRecord,
  ): Promise<Accepted> {
    const { id } = accepted;
    const intent = { id, after, task: 'instance.create' } as const;
    if (caller.principal.limits?.maxInstances === undefined)
      return carryOut(this.#store, caller, accepted, writes, intent);
    const exists = async (one: string) => (await this.load(one, caller.signal)) !== undefined;
    const counted = [...writes, ...(await tallied(this.#store, caller, id, exists))];
    return carryOut(this.#store, caller, accepted, counted, intent);
  }

  /**
   * Replaces the writable members. A new flavor or image wipes the machine, so it requires `allowReplace`; anything
   * else changes only the record and needs no task.
   */
  update(caller: Caller, id: string, body: InstanceUpdate, options: ChangeOptions): Promise<Accepted> {
    checkAsked(body);
    return this.#change(caller, id, { ...options, whole: false }, () => body);
  }

  /** Changes what the patch names, like an update in which everything else stays the same. */
  patch(caller: Caller, id: string, patch: InstancePatch, options: ChangeOptions): Promise<Accepted> {
    checkAsked(patch);
    return this.#change(caller, id, { ...options, whole: true }, (instance) =>
      patchedUpdate(presentInstance(id, instance), patch),
    );
  }

  /** `whole`: the request has everything that the instance shows, so a missing member was removed. */
  #change(
    caller: Caller,
    id: string,
    { allowReplace, whole }: ChangeOptions & { whole: boolean },
    wishOf: (instance: InstanceRecord) => InstanceUpdate,
  ): Promise<Accepted> {
    return retrying(async () => {
      const instance = await this.#living(caller, id);
      const { value } = instance;
      const wish = wishOf(value);
      // Without an If-Match, a patch intends every value that it names.
      const current = caller.precondition?.(standingOf(instance)) ?? whole;
      checkUnwritable(id, value, wish, { current, whole });
      // A value that was accepted once may stay, even if today's rules differ.
      if (wish.spec.userData !== value.userData) checkUserData(wish.spec.userData);
      const replaced = replacedBy(value, wish);
      // Only changes are looked up: a retired flavor must not block a new description or a new image.
      const former = replaced.includes('flavorId') ? undefined : value.flavor;
      const wanted = { ...value, ...pick(wish.spec), kept: former };
      const { flavor, checks } =
        replaced.length > 0
          ? await checkReferences(this.#regions, wanted, caller)
          : { flavor: undefined, checks: [] };
      const how = conversion(value, replaced, flavor);
      const wipes = how === 'instance.replace';
      if (wipes && !allowReplace) throw replaceRequired(value, replaced, flavor);
      const next = changedRecord(value, wish, this.#settings.expiry.maxLifetime);
      checkChange(caller.principal, value, next, wipes);
      if (how !== undefined) {
        checkFree('instance', await openTasksOf(this.#store, instance.value));
        const asked = by(caller, { ...next, flavor: flavor ?? null });
        if (wipes) return this.#open(caller, instance, asked, how, pick(wish.spec), checks);
        const resizedFrom = { flavorId: value.flavorId, flavor: value.flavor ?? null };
        const wanted = defined({ flavorId: asked.flavorId, flavor });
        return this.#open(caller, instance, { ...asked, resizedFrom }, how, wanted, checks);
      }
      // The machine of a repeated request is already being created: the repeat returns the same task.
      const open = await openTasksOf(this.#store, instance.value);
      const same = sharable(open, 'instance.replace') ?? sharable(open, 'instance.resize');
      const told = same === undefined ? {} : { taskId: same.id };
      if (!sameInstanceWish(value, next)) {
        const writes = await changeAudited(this.#store, caller, 'instance.update', instance, next);
        return this.#commit(caller, instance, by(caller, next), told, { writes });
      }
      const { revision } = instance;
      return { id, ...told, text: JSON.stringify(presentInstance(id, value)), revision };
    });
  }

  /**
   * Marks the instance for deletion, or for the trash if the site keeps one; a repeated delete shares the task. Other
   * tasks in progress are aborted.
   */
  async delete(
    caller: Caller,
    id: string,
    { purge = false, still = () => true }: DeleteOptions = {},
  ): Promise<Accepted> {
    return retrying(async () => {
      const instance = await this.load(id, caller.signal);
      if (instance === undefined || !still(instance.value)) throw notFound();
      caller.precondition?.(standingOf(instance));
      const { value } = instance;
      const open = await openTasksOf(this.#store, value);
      const [gone, trash] = [sharable(open, 'instance.delete'), sharable(open, 'instance.trash')];
      const same = gone ?? (purge ? undefined : trash);
      if (same !== undefined) return { id, taskId: same.id };
      if (!purge && isInTrash(value) && value.trashTaskId !== undefined)
        return { id, taskId: value.trashTaskId };
      checkUnprotected(value);
      const { writes, left } = superseded(open);
      const rest = { ...value, openTasks: left };
      const from = { ...instance, value: rest };
      const keep = this.#settings.expiry.trash;
      if (purge || keep === 0) return this.#open(caller, from, rest, 'instance.delete', {}, writes);
      return this.#open(caller, from, trashed(rest, keep), 'instance.trash', {}, writes);
    });
  }

  /** Brings an instance back from the trash. */
  restore(caller: Caller, id: string): Promise<Accepted> {
    return retrying(async () => {
      const instance = orNotFound(await this.load(id, caller.signal));
      caller.precondition?.(standingOf(instance));
      const open = await openTasksOf(this.#store, instance.value);
      const same = sharable(open, 'instance.restore');
      if (same !== undefined) return { id, taskId: same.id };
      const asked = untrashed(instance.value);
      checkFree('instance', open);
      const taken = `The project already has an instance named "${asked.name}".`;
      return withName(this.#open(caller, instance, asked, 'instance.restore', {}), taken);
    });
  }

  async #living(caller: Caller, id: string): Promise<Document<InstanceRecord>> {
    const instance = await this.load(id, caller.signal);
    if (instance === undefined) throw notFound();
    checkLiving('instance', instance.value);
    caller.precondition?.(standingOf(instance));
    return instance;
  }

  /** `asked`: the instance including the changes of the request itself. */
  async #open<T extends TaskTypeOn<'instance'>>(
    caller: Caller,
    instance: Document<InstanceRecord>,
    asked: InstanceRecord,
    type: T,
    input: TaskInput<T>,
    others: readonly Write[] = [],
  ): Promise<Accepted> {
    const next = taskEffects[type].onAccepted(asked);
    const task = openTask('instance', instance, type, input, caller);
    const trash = type === 'instance.trash' ? { trashTaskId: task.id } : {};
    return this.#commit(
      caller,
      instance,
      { ...next, openTasks: task.openTasks, ...trash },
      { taskId: task.id },
      {
        type,
        writes: [task.write, ...others],
      },
    );
  }

  /**
   * Stores the instance's next state, everything that goes with it, and the response for a repeat of the request, in
   * one step.
   */
  async #commit(
    caller: Caller,
    instance: Document<InstanceRecord>,
    changed: InstanceRecord,
    told: { taskId?: string },
    task: { type?: TaskType; writes: readonly Write[] } = { writes: [] },
  ): Promise<Accepted> {
    const { id } = instance;
    const charging = await chargeChange(this.#store, instance.value, changed, caller.signal);
    const next = instanceAfter(instance, charging.record);
    const text = JSON.stringify(presentInstance(id, next));
    const accepted = { id, ...told, text, revision: instance.revision + 1 };
    const stored = replace(instances, instance, next);
    const writes = [stored, ...task.writes, ...charging.writes];
    const { revision, value: before } = instance;
    const intent = { id, revision, before, after: next, task: task.type };
    return carryOut(this.#store, caller, accepted, writes, intent);
  }
}
