/**
 * From events to deliveries. A cursor follows the change log and the audit trail; it moves in the same batch as the
 * deliveries of what it passes, so that each event becomes each of its deliveries exactly once, whatever is killed when.
 */
import { uuidv7 } from 'uuidv7';
import { type AuditRecord, presentAuditRecord } from '../model/audit.js';
import { timestamp } from '../model/common.js';
import { rightsIn } from '../model/project.js';
import {
  outcomes,
  selects,
  type Selectable,
  type SubscriptionRecord,
  withLost,
} from '../model/subscription.js';
import { type DeliveryRecord, payloadOf } from '../model/webhook.js';
import { auditHeadId, auditHeads, auditRecords } from './audit.js';
import type { Caller } from './caller.js';
import { EventData } from './event.js';
import type { ProjectData } from './project.js';
import { ReadCache } from './store/cache.js';
import { eventBaseId, eventBases } from './store/event-base.js';
import {
  type Change,
  type CollectionSpec,
  type Document,
  insert,
  replace,
  type Store,
  type Write,
} from './store/port.js';
import { retrying } from './store/retry.js';
import { subscriptions } from './subscription.js';
import { type UserData, users } from './user.js';
import { backlogLimit, deliveries, wakingWrites } from './webhook.js';

interface CursorRecord {
  /** Id of the last event that was dispatched. */
  event: number;
  /** Number of the last audit record. */
  audit: number;
}

export const dispatchCursors: CollectionSpec<CursorRecord> = {
  name: 'dispatch_cursors',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** The only document of `dispatchCursors`. */
const cursorId = 'site';

/** Events, and audit records, of one pass. */
const passLimit = 100;
/** Deliveries of one pass; the pass ends before the event that would exceed it, unless that is the first. */
const batchLimit = 1000;

/** Something that happened, in the form in which it is told. */
interface Happening extends Selectable {
  id: string;
  time: string;
  /** Who sees this project sees the event; undefined: superusers. */
  projectId: string | undefined;
  data: Record<string, unknown>;
}

type Subscribed = Document<SubscriptionRecord>;

export class DispatchData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #users: UserData;
  readonly #active: ReadCache<{ all: Subscribed[] }>;

  constructor(store: Store, projects: ProjectData, userData: UserData) {
    this.#store = store;
    this.#projects = projects;
    this.#users = userData;
    this.#active = new ReadCache(store, [subscriptions.name]);
  }

  /** Makes deliveries of what has happened since the last pass, up to a limit; returns whether there may be more. */
  pass(actor: Caller): Promise<boolean> {
    return retrying(async () => {
      const base = (await this.#store.get(eventBases, eventBaseId))?.value.base ?? 0;
      const cursor = await this.#store.get(dispatchCursors, cursorId);
      if (cursor === undefined) {
        await this.#begin(base);
        return true;
      }
      const { first, last } = await this.#store.changeRange();
      const end = { event: base + last, audit: await this.#auditEnd() };
      // After both ends were read: a subscription that is not there yet is owed nothing before them.
      if ((await this.#subscribed()).length === 0) {
        await this.#move(cursor, end);
        return false;
      }
      // A copy of a store begins a new log.
      const position = Math.min(Math.max(cursor.value.event - base, 0), last);
      if (position < first - 1) {
        await this.#noteMissed(cursor, base + first - 1, first - 1 - position);
        return true;
      }
      const page = await this.#store.changes({ after: position, limit: passLimit });
      const records = await this.#auditAfter(cursor.value.audit);
      // After the log: a subscription that is not in this list cannot miss an event after these pages.
      const subscribed = await this.#subscribed();
      const passed = { event: base + page.next, audit: records.at(-1)?.value.sequence ?? cursor.value.audit };
      const more = page.changes.length === passLimit || records.length === passLimit;
      const batch = new Batch();
      await this.#collect(
        batch,
        subscribed,
        page.changes.flatMap((change) => happeningOf(change, base)),
        (one) => {
          passed.event = Number(one.id) - 1;
          passed.audit = cursor.value.audit;
        },
      );
      if (!batch.full)
        await this.#collect(batch, subscribed, records.map(happeningOfAudit), (one) => {
          passed.audit = Number(one.data['sequence']) - 1;
        });
      return (await this.#move(cursor, passed, await this.#writesOf(batch, actor))) && (more || batch.full);
    });
  }

  /** Events were removed from the log before they were read; what they were, nobody knows any more. */
  async #noteMissed(cursor: Document<CursorRecord>, event: number, missed: number): Promise<void> {
    const writes = (await this.#readSubscribed()).map((found) =>
      replace(subscriptions, found, withLost(found.value, { missed }, timestamp())),
    );
    await this.#move(cursor, { ...cursor.value, event }, writes);
  }

  /** Moves the cursor, together with the deliveries of what it passes; returns whether it was elsewhere. */
  async #move(
    cursor: Document<CursorRecord>,
    to: CursorRecord,
    writes: readonly Write[] = [],
  ): Promise<boolean> {
    if (to.event === cursor.value.event && to.audit === cursor.value.audit) return false;
    await this.#store.write([replace(dispatchCursors, cursor, to), ...writes]);
    return true;
  }

  /** Nothing that happened before is told. */
  async #begin(base: number): Promise<void> {
    const { position } = await this.#store.lastChange();
    const value = { event: base + position, audit: await this.#auditEnd() };
    await this.#store.write([insert(dispatchCursors, cursorId, value)]);
  }

  /** Number of the last audit record. */
  async #auditEnd(): Promise<number> {
    return (await this.#store.get(auditHeads, auditHeadId))?.value.sequence ?? 0;
  }

  #auditAfter(sequence: number): Promise<Document<AuditRecord>[]> {
    const span = { column: 'sequence', from: sequence + 1 };
    return this.#store.page(auditRecords, { order: 'sequence', span, limit: passLimit });
  }

  async #subscribed(): Promise<Subscribed[]> {
    const found = await this.#active.read('all', async () => ({ all: await this.#readSubscribed() }));
    return found?.all ?? [];
  }

  async #readSubscribed(): Promise<Subscribed[]> {
    const all: Subscribed[] = [];
    for (;;) {
      const last = all.at(-1)?.id;
      const page = await this.#store.page(subscriptions, {
        order: 'id',
        filter: { state: 'active' },
        limit: 1000,
        ...(last === undefined ? {} : { after: [last] }),
      });
      all.push(...page);
      if (page.length < 1000) return all;
    }
  }

  /** Adds the deliveries of all that happened to the batch; `stop` is told before which one the batch is full. */
  async #collect(
    batch: Batch,
    subscribed: readonly Subscribed[],
    happened: readonly Happening[],
    stop: (first: Happening) => void,
  ): Promise<void> {
    for (const one of happened) {
      const wanted: Subscribed[] = [];
      for (const subscription of subscribed)
        if (selects(subscription.value.selectors, one) && (await this.#seesOf(batch, subscription, one)))
          wanted.push(subscription);
      if (wanted.length > 0 && !batch.takes(wanted.length)) {
        stop(one);
        return;
      }
      for (const subscription of wanted) batch.add(subscription, one);
    }
  }

  /** Asked once in a pass. */
  async #seesOf(batch: Batch, { value }: Subscribed, { projectId }: Happening): Promise<boolean> {
    const key = `${value.ownerType} ${value.owner} ${projectId ?? ''}`;
    const known = batch.seen.get(key) ?? (await this.sees(value, projectId));
    batch.seen.set(key, known);
    return known;
  }

  /** Whether the owner may be told of what happens in the project, or, without one, of what only superusers see. */
  async sees(
    { ownerType, owner }: Pick<SubscriptionRecord, 'ownerType' | 'owner'>,
    projectId: string | undefined,
  ): Promise<boolean> {
    const project = projectId === undefined ? undefined : await this.#projects.load(projectId);
    if (ownerType === 'project') return project?.id === owner;
    const user = await this.#store.get(users, owner);
    if (user?.value.active !== true) return false;
    const superUser = this.#users.isSuperUser(user.value.name);
    if (project === undefined) return superUser;
    return rightsIn(project, { id: owner, superUser }).includes('read');
  }

  async #writesOf({ bySubscription }: Batch, actor: Caller): Promise<Write[]> {
    const writes: Write[] = [];
    for (const { subscription, happened } of bySubscription.values()) {
      const { id, value } = subscription;
      const filter = { subscription_id: id, status: 'pending' };
      const room = Math.max(0, backlogLimit - (await this.#store.count(deliveries, { filter })));
      const kept = happened.slice(0, room);
      const dropped = happened.length - kept.length;
      writes.push(...kept.map((one) => insert(deliveries, uuidv7(), deliveryOf(id, one))));
      const host = new URL(value.url).hostname;
      writes.push(...(await wakingWrites(this.#store, id, host, actor)));
      const found = dropped === 0 ? undefined : await this.#store.get(subscriptions, id);
      if (found !== undefined)
        writes.push(replace(subscriptions, found, withLost(found.value, { dropped }, timestamp())));
    }
    return writes;
  }
}

/** The deliveries of one pass. */
class Batch {
  readonly bySubscription = new Map<string, { subscription: Subscribed; happened: Happening[] }>();
  /** Whether an owner sees a project. */
  readonly seen = new Map<string, boolean>();
  #size = 0;
  full = false;

  takes(count: number): boolean {
    this.full = this.#size > 0 && this.#size + count > batchLimit;
    return !this.full;
  }

  add(subscription: Subscribed, one: Happening): void {
    const { id } = subscription;
    const entry = this.bySubscription.get(id) ?? { subscription, happened: [] };
    entry.happened.push(one);
    this.bySubscription.set(id, entry);
    this.#size += 1;
  }
}

function deliveryOf(
  subscriptionId: string,
  { id, type, resourceId, projectId, time, data }: Happening,
): DeliveryRecord {
  return {
    subscriptionId,
    type,
    eventId: id,
    resourceId,
    ...(projectId === undefined ? {} : { projectId }),
    payload: payloadOf(type, time, data),
    status: 'pending',
    attempts: 0,
    due: Date.now(),
    creationTime: timestamp(),
  };
}

/** What readers of events see of an instance or task, as far as selectors ask. */
interface Shown {
  type?: string;
  status?: unknown;
  metadata?: { tags?: { name: string; value: string }[] };
}

/** Nothing if it is no event: the tasks of the site itself, and with them those that deliver, are not told. */
function happeningOf(change: Change, base: number): Happening[] {
  const event = EventData.told(change);
  if (event === undefined) return [];
  const resource = change.text === null ? null : (JSON.parse(change.text) as Shown);
  const { subject, type, projectId } = event;
  const tags = (resource?.metadata?.tags ?? []).map(({ name, value }) => `${name}=${value}`);
  const outcome = subject === 'task' && typeof resource?.status === 'string' ? resource.status : undefined;
  const id = String(base + change.position);
  const data = { id, projectId, resourceId: change.id, revision: change.revision, resource };
  return [
    {
      id,
      subject,
      type,
      time: change.time,
      resourceId: change.id,
      tags,
      projectId,
      outcome: outcome !== undefined && outcomes.includes(outcome) ? outcome : undefined,
      data,
    },
  ];
}

function happeningOfAudit({ id, value }: Document<AuditRecord>): Happening {
  const record = presentAuditRecord(id, value);
  return {
    id,
    subject: 'audit',
    type: `audit.${value.action}`,
    time: value.time,
    resourceId: value.resource.id,
    tags: [],
    projectId: undefined,
    data: { id, sequence: value.sequence, record },
  };
}
