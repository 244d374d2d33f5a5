/**
 * The last step of every change of an instance: what has been computed is stored, or told as a plan. Both come from the
 * same writes, so a plan refuses what the change would refuse.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { timestamp } from '../model/common.js';
import { ApiError } from '../model/error.js';
import { emptyPlan, type Intent, isDisruptive, type Plan, planLifetime, planOf } from '../model/plan.js';
import { disruptionOf } from '../model/task-effects.js';
import type { TaskType } from '../model/task.js';
import type { Accepted, Caller } from './caller.js';
import { secretFor } from './secret.js';
import { type Store, StoreConflict, type Write } from './store/port.js';
import { standingOf } from './wish.js';

/** A change as it is about to be stored; `revision`: of the instance as it was found. */
export type Intended = Intent & { revision?: number };

/** What confirms a plan; nothing if it needs no confirmation. */
export type Signature = Pick<Plan, 'planId' | 'validUntil'>;

/** Stores the change and the response for a repeat of the request in one step, or tells what it would do. */
export async function carryOut(
  store: Store,
  caller: Caller,
  accepted: Accepted,
  writes: readonly Write[],
  intent?: Intended,
): Promise<Accepted> {
  if (caller.within !== undefined) {
    caller.within.add(writes, intent);
    return accepted;
  }
  const signature = await carryOutAll(store, caller, accepted, writes, intent === undefined ? [] : [intent]);
  if (signature === undefined) return accepted;
  return {
    ...accepted,
    plan: intent === undefined ? emptyPlan(accepted.id) : { ...planOf(intent), ...signature },
  };
}

/** The same for several changes. Returns what confirms their plan, if they were only planned. */
export async function carryOutAll(
  store: Store,
  caller: Caller,
  accepted: Accepted,
  writes: readonly Write[],
  intents: readonly Intended[],
): Promise<Signature | undefined> {
  const { dryRun = false, planId } = caller.planning ?? {};
  if (dryRun) {
    await rehearse(store, writes, caller.signal);
    return sign(store, caller, intents);
  }
  if (planId !== undefined) await confirm(store, caller, intents, planId);
  else if (mustPlan(caller) && intents.some(isDisruptive)) throw planRequired();
  await store.write([...writes, ...(caller.storeResponse?.(accepted) ?? [])], caller.signal);
  return undefined;
}

/** Whether the credential demands that disruptive changes are planned first. */
export function mustPlan({ principal }: Pick<Caller, 'principal'>): boolean {
  return principal.limits?.requiresPlan === true;
}

/** Throws if the credential demands a plan, and a task of this type would be repeated without one. */
export function checkRepeatable(caller: Caller, type: TaskType): void {
  if (mustPlan(caller) && disruptionOf(type) !== undefined) throw planRequired();
}

function planRequired(): ApiError {
  const message =
    'Your credential requires a plan for this: repeat the request with dryRun=true, then with the planId of the response as planID.';
  return new ApiError('plan_required', message, { errors: [{ parameter: 'planID', message }] });
}

/** Rejects with the conflict with which the writes would be rejected now. */
async function rehearse(store: Store, writes: readonly Write[], signal: AbortSignal): Promise<void> {
  for (const write of writes) {
    const { collection, id } = write;
    if (write.op !== 'insert') {
      const found = await store.get(collection, id, signal);
      if (found?.revision !== write.revision) throw new StoreConflict('revision', collection.name, id);
    }
    if (write.op === 'insert' || write.op === 'replace') await checkUnique(store, write, signal);
  }
}

async function checkUnique(
  store: Store,
  { collection, id, value }: Write & { value: unknown },
  signal: AbortSignal,
): Promise<void> {
  const columns = collection.columnsOf(id, value as never);
  for (const [key, names] of Object.entries(collection.unique ?? {})) {
    const values = names.map((name) => columns[name] as string | number | null);
    if (values.includes(null)) continue;
    const found = await store.find(collection, key, values, signal);
    if (found !== undefined && found.id !== id) throw new StoreConflict('unique', collection.name, key);
  }
}

async function sign(store: Store, caller: Caller, intents: readonly Intended[]): Promise<Signature> {
  // A new instance disrupts nothing, so its creation needs no confirmation.
  if (intents.every(({ before }) => before === undefined)) return {};
  const until = Date.now() + planLifetime;
  const planId = await planIdOf(store, caller, intents, until);
  return { planId, validUntil: timestamp(new Date(until)) };
}

/** Of the user, the states that were planned for, and all that the plan says; it begins with its end. */
async function planIdOf(
  store: Store,
  { principal }: Caller,
  intents: readonly Intended[],
  until: number,
): Promise<string> {
  const planned = intents.map((intent) => {
    const { id, before, revision = 0 } = intent;
    const state = before && standingOf({ id, revision, value: before }).wishRevision;
    return [id, state ?? null, planOf(intent)];
  });
  const content = JSON.stringify([until, principal.id, planned]);
  const digest = createHmac('sha256', await secretFor(store, 'plan'))
    .update(content)
    .digest('base64url');
  return `${until.toString(36)}.${digest}`;
}

/** Throws unless the plan is still valid, and says what is about to be done. */
async function confirm(
  store: Store,
  caller: Caller,
  intents: readonly Intended[],
  planId: string,
): Promise<void> {
  const until = Number.parseInt(planId.split('.')[0] ?? '', 36);
  const right = await planIdOf(store, caller, intents, until);
  const [one, other] = [Buffer.from(planId), Buffer.from(right)];
  const message =
    until < Date.now()
      ? 'The plan has expired; make a new one with dryRun=true.'
      : one.length === other.length && timingSafeEqual(one, other)
        ? undefined
        : 'The request would do something else than the plan said, or the instance has changed since; make a new plan with dryRun=true.';
  if (message !== undefined)
    throw new ApiError('precondition_failed', message, { errors: [{ parameter: 'planID', message }] });
}
