/**
 * What a project with limits uses: charged and released in the same batch as what causes it. docs/quotas.md says why it is
 * kept, and only for such projects. Batches with these writes must be made within `retrying`, with the calls inside it.
 */
import type { InstanceRecord } from '../model/instance.js';
import type { ProjectRecord } from '../model/project.js';
import {
  type Charge,
  chargeOf,
  checkLimits,
  larger,
  type QuotaLimits,
  sameCharge,
  sum,
  type Usage,
  without,
} from '../model/quota.js';
import { type CollectionSpec, type Document, replace, type Store, type Write } from './store/port.js';

/** Under the id of the project. */
export interface QuotaRecord {
  limits: QuotaLimits;
  /** The sum of what is charged. */
  used: Usage;
  /** Whether everything that the project has is charged: there may be things that are older than its limits. */
  complete: boolean;
}

export const quotas: CollectionSpec<QuotaRecord> = {
  name: 'quotas',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** A record that says what was charged for it; absent: nothing, since its project has no limits. */
export interface Charged {
  projectId: string;
  charged?: Charge;
}

/** A record, and the writes that go with it. */
interface Charging<R> {
  record: R;
  writes: Write[];
}

/** A new record as it is charged. Throws `quota_exceeded`. The batch must `check` the project. */
export async function charge<R extends Charged>(
  store: Store,
  { id, value }: Document<ProjectRecord>,
  record: R,
  amount: Charge,
  pointer: string,
  signal?: AbortSignal,
): Promise<Charging<R>> {
  if (value.limited !== true) return { record, writes: [] };
  const writes = await grow(store, id, amount, pointer, signal);
  return { record: { ...record, charged: amount }, writes };
}

/** What is removed is charged no longer. */
export async function release(
  store: Store,
  { projectId, charged }: Charged,
  signal?: AbortSignal,
): Promise<Write[]> {
  return charged === undefined ? [] : shrink(store, projectId, charged, {}, signal);
}

/**
 * An instance whose change is accepted: it may use more at once, but uses less only when the change is done. Throws
 * `quota_exceeded`.
 */
export async function chargeChange<R extends Charged>(
  store: Store,
  { charged, projectId }: Charged,
  record: R,
  signal?: AbortSignal,
): Promise<Charging<R>> {
  if (charged === undefined) return { record, writes: [] };
  const most = larger(charged, amountOf(record));
  if (sameCharge(most, charged)) return { record, writes: [] };
  const writes = await grow(store, projectId, without(most, charged), '/spec/flavorId', signal);
  return { record: { ...record, charged: most }, writes };
}

/** A record once its task has ended; undefined: it is removed. */
export async function settleCharge<R extends Charged>(
  store: Store,
  { charged, projectId }: Charged,
  record: R | undefined,
): Promise<Charging<R | undefined>> {
  if (charged === undefined) return { record, writes: [] };
  const left = record === undefined ? {} : amountOf(record);
  if (sameCharge(left, charged)) return { record, writes: [] };
  const writes = await shrink(store, projectId, charged, left);
  return { record: record && { ...record, charged: left }, writes };
}

/** Of the subjects of tasks, only instances are charged. */
function amountOf(record: Charged): Charge {
  return chargeOf(record as InstanceRecord);
}

async function grow(
  store: Store,
  projectId: string,
  amount: Charge,
  pointer: string,
  signal?: AbortSignal,
): Promise<Write[]> {
  const quota = await store.get(quotas, projectId, signal);
  if (quota === undefined) return [];
  const { limits, used } = quota.value;
  checkLimits(limits, used, amount, pointer);
  return [replace(quotas, quota, { ...quota.value, used: sum(used, amount) })];
}

async function shrink(
  store: Store,
  projectId: string,
  from: Charge,
  to: Charge,
  signal?: AbortSignal,
): Promise<Write[]> {
  const quota = await store.get(quotas, projectId, signal);
  if (quota === undefined) return [];
  return [replace(quotas, quota, { ...quota.value, used: sum(without(quota.value.used, from), to) })];
}
