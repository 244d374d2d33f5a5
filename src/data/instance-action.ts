/** One verb for many instances: one task each, stored in one step with the task that follows them. */
import { uuidv7 } from 'uuidv7';
import { defined } from '../model/common.js';
import { ApiError, notFound, rightMissing } from '../model/error.js';
import {
  actionLimit,
  type ActionVerb,
  allRefused,
  checkActions,
  type InstanceActionPlan,
  type InstanceActionResult,
  type InstanceActions,
  refusalOf,
  refused,
} from '../model/instance-action.js';
import type { InstanceRecord } from '../model/instance.js';
import { hasTags, tagText } from '../model/key-limits.js';
import { planOf } from '../model/plan.js';
import { rightsIn } from '../model/project.js';
import { allows } from '../model/role.js';
import { siteId } from '../model/task.js';
import type { Accepted, Caller } from './caller.js';
import { type InstanceData, instances } from './instance.js';
import { carryOutAll, type Intended } from './plan.js';
import type { ProjectData } from './project.js';
import type { Document, Store, Write } from './store/port.js';
import { retrying } from './store/retry.js';
import { newTask } from './task.js';
import type { TaskControl } from './task-control.js';

type Found = readonly Document<InstanceRecord>[];

/** What the instances answer, and what is to be stored for those that do not refuse. */
interface Staged {
  results: InstanceActionResult[];
  writes: Write[];
  intents: Intended[];
}

export class InstanceActionData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #instances: InstanceData;
  readonly #control: TaskControl;

  constructor(store: Store, projects: ProjectData, instanceData: InstanceData, control: TaskControl) {
    this.#store = store;
    this.#projects = projects;
    this.#instances = instanceData;
    this.#control = control;
  }

  /** Errors: 403 without the right, 422 for a selector that is too wide or too narrow, 409 if nothing can be done. */
  async act(caller: Caller, body: InstanceActions): Promise<Accepted> {
    checkActions(body);
    const { verb, atomic = false } = body;
    if (!allows(caller.principal, verb))
      throw new ApiError('forbidden', `Your credential does not allow the verb "${verb}".`);
    return retrying(async () => {
      const found = await this.#select(caller, body);
      const [first] = found.living;
      const id = uuidv7();
      const { results, writes, intents } = await this.#stage(caller, id, found, body);
      const refusals = results.filter(({ error }) => error !== undefined).length;
      if (first === undefined || refusals === results.length || (atomic && refusals > 0))
        throw allRefused(results);
      const { organizationId, projectId } = first.value;
      const children = results.flatMap(({ taskId }) => taskId ?? []);
      const place = { organizationId, projectId, regionId: siteId };
      const parent = newTask(place, 'actions.follow', { verb }, caller, { children }, id);
      const accepted = { id, taskId: id, text: JSON.stringify({ taskId: id, results }) };
      const signature = await carryOutAll(this.#store, caller, accepted, [...writes, parent.write], intents);
      return signature === undefined
        ? accepted
        : { ...accepted, plans: planned(results, intents, signature) };
    });
  }

  async #stage(
    caller: Caller,
    parentId: string,
    { living, absent }: { living: Found; absent: readonly string[] },
    { verb, hard }: InstanceActions,
  ): Promise<Staged> {
    const staged: Staged = { results: [], writes: [], intents: [] };
    const within = {
      parentId,
      add: (writes: readonly Write[], intent?: Intended) => {
        staged.writes.push(...writes);
        if (intent !== undefined) staged.intents.push(intent);
      },
    };
    const { principal, requestId, traceparent, signal } = caller;
    const each = { principal, requestId, traceparent, signal, within };
    for (const instanceId of [...living.map(({ id }) => id), ...absent].sort()) {
      const result = await answerOf(async () => {
        if (absent.includes(instanceId)) throw notFound();
        return this.#one(each, instanceId, verb, hard);
      });
      staged.results.push({ instanceId, ...result });
    }
    return staged;
  }

  #one(caller: Caller, id: string, verb: ActionVerb, hard = false): Promise<Accepted> {
    switch (verb) {
      case 'delete':
        return this.#instances.delete(caller, id);
      case 'reboot':
        return this.#control.request(caller, 'instance', id, 'instance.reboot', { hard });
      case 'start':
      case 'stop':
        return this.#control.request(caller, 'instance', id, `instance.${verb}`, {});
    }
  }

  /** The instances that match, and the named ones that the caller does not see. */
  async #select(caller: Caller, body: InstanceActions): Promise<{ living: Found; absent: string[] }> {
    const { ids } = body.selector ?? {};
    const named = ids === undefined ? undefined : await this.#named(caller, ids);
    const projectId = await this.#projectOf(caller, body, named);
    const matching = await (named === undefined
      ? this.#matching(caller, projectId, body)
      : named.filter(({ value }) => value.projectId === projectId && matches(value, body)));
    const seen = new Set(named?.map(({ id }) => id));
    const absent = (ids ?? []).filter((id) => !seen.has(id));
    if (matching.length === 0 && absent.length === (ids ?? []).length)
      throw refused('/selector', 'The selector matches no instance that you may see.');
    if (matching.length > actionLimit)
      throw refused('/selector', `The selector matches more than ${actionLimit} instances; narrow it.`);
    return { living: matching, absent };
  }

  async #named(caller: Caller, ids: readonly string[]): Promise<Found> {
    const found = await Promise.all(ids.map((id) => this.#instances.load(id, caller.signal)));
    const visible: Document<InstanceRecord>[] = [];
    for (const instance of found) {
      if (instance === undefined || !hasTags(caller.principal.limits ?? {}, instance.value.tags)) continue;
      const project = await this.#projects.load(instance.value.projectId, caller.signal);
      if (project !== undefined && rightsIn(project, caller.principal).includes('read'))
        visible.push(instance);
    }
    return visible;
  }

  /** The one project of the instances, in which the caller may operate. */
  async #projectOf(caller: Caller, body: InstanceActions, named: Found | undefined): Promise<string> {
    const [first, ...others] = [...new Set(named?.map(({ value }) => value.projectId))];
    if (body.projectId === undefined && others.length > 0)
      throw refused(
        '/selector/ids',
        'The instances are in several projects; set projectId, or name those of one.',
      );
    const wanted = body.projectId ?? first;
    if (wanted === undefined && named !== undefined)
      throw refused('/selector', 'The selector matches no instance that you may see.');
    const project =
      wanted === undefined
        ? await this.#projects.choose(caller, {})
        : await this.#projects.get(caller, wanted);
    if (!rightsIn(project, caller.principal).includes('operate')) throw rightMissing('operate');
    return project.id;
  }

  async #matching(caller: Caller, projectId: string, { selector, all }: InstanceActions): Promise<Found> {
    const limited = caller.principal.limits?.tags ?? [];
    const tags = [...new Set([...limited, ...(selector?.tags ?? []).map(tagText)])];
    const page = { order: 'id', limit: actionLimit + 1 };
    const within = tags.length === 0 ? {} : { has: { tags } };
    const filter = defined({ project_id: projectId, status: selector?.status });
    const found = await this.#store.page(instances, { ...page, ...within, filter }, caller.signal);
    if (all === true || found.length === 0) return found;
    const every = await this.#store.page(
      instances,
      { ...page, filter: { project_id: projectId } },
      caller.signal,
    );
    if (found.length === every.length && found.length <= actionLimit)
      throw refused(
        '/all',
        'The selector matches every instance of the project; set all to true if you mean that.',
      );
    return found;
  }
}

function matches({ tags = [], provisioning }: InstanceRecord, { selector }: InstanceActions): boolean {
  const present = tags.map(tagText);
  return (
    (selector?.tags ?? []).every((tag) => present.includes(tagText(tag))) &&
    (selector?.status?.includes(provisioning.status) ?? true)
  );
}

/** A refusal is part of the response. */
async function answerOf(
  work: () => Promise<Accepted>,
): Promise<Pick<InstanceActionResult, 'taskId' | 'error'>> {
  try {
    return defined({ taskId: (await work()).taskId });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status >= 500) throw error;
    return { error: refusalOf(error) };
  }
}

function planned(
  results: readonly InstanceActionResult[],
  intents: readonly Intended[],
  signature: Pick<InstanceActionPlan, 'planId' | 'validUntil'>,
): InstanceActionPlan {
  const known = new Map(intents.map((intent) => [intent.id, planOf(intent)]));
  return {
    results: results.map(({ instanceId, error }) =>
      defined({ instanceId, error, plan: known.get(instanceId) }),
    ),
    ...signature,
  };
}
