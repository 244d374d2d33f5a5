/** Instances that expire: how their lifetime is extended, and what is done when its end is near, or reached. */
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import { type ExpirationExtension, type InstanceRecord, presentInstance } from '../model/instance.js';
import type { Accepted, Caller } from './caller.js';
import { type InstanceData, instances } from './instance.js';
import { changeAudited } from './instance-change.js';
import { checkExpiry } from './instance-rules.js';
import { checkLifetime, checkVerbOfExpiry } from './key-limit.js';
import { checkLiving } from './open-tasks.js';
import { carryOut } from './plan.js';
import { type Document, replace, type Store, StoreConflict } from './store/port.js';
import { retrying } from './store/retry.js';
import { unlessMoot } from './trash.js';
import { instanceAfter, standingOf } from './wish.js';

export interface ExpiryOptions {
  /** How far in the future an instance's expiry may be, in ms. */
  maxLifetime: number;
  /** How long before its expiry an instance is marked, in ms. */
  warning: number;
}

const hour = 3_600_000;
const pageSize = 100;

export class ExpiryData {
  readonly #store: Store;
  readonly #instances: InstanceData;
  readonly #options: ExpiryOptions;

  constructor(store: Store, instanceData: InstanceData, options: ExpiryOptions) {
    this.#store = store;
    this.#instances = instanceData;
    this.#options = options;
  }

  /** Extends the lifetime of the instance. Errors: 422 if that is not an extension, or too far in the future. */
  extend(caller: Caller, id: string, extension: ExpirationExtension): Promise<Accepted> {
    return retrying(async () => {
      const instance = await this.#store.get(instances, id, caller.signal);
      if (instance === undefined) throw notFound();
      checkLiving('instance', instance.value);
      caller.precondition?.(standingOf(instance));
      const { expirationWarning, ...kept } = instance.value;
      const next: InstanceRecord = {
        ...kept,
        expiresAt: this.#extended(caller, instance.value, extension),
        modifiedTime: timestamp(),
        modifiedBy: caller.principal.name,
      };
      const after = instanceAfter(instance, next);
      const text = JSON.stringify(presentInstance(id, after));
      const accepted = { id, text, revision: instance.revision + 1 };
      const writes = [
        replace(instances, instance, after),
        ...(await changeAudited(this.#store, caller, 'instance.extend', instance, next)),
      ];
      const { revision, value: before } = instance;
      return carryOut(this.#store, caller, accepted, writes, { id, revision, before, after: next });
    });
  }

  #extended(caller: Caller, instance: InstanceRecord, { hours, expiresAt }: ExpirationExtension): string {
    const current = instance.expiresAt;
    const pointer = hours === undefined ? '/expiresAt' : '/hours';
    const refuse = (message: string) =>
      new ApiError('unprocessable', message, { errors: [{ pointer, message }] });
    if (hours !== undefined && current === undefined)
      throw refuse('The instance does not expire; set `expiresAt` to make it expire.');
    const before = current === undefined ? 0 : Date.parse(current);
    const time = hours === undefined ? Date.parse(expiresAt ?? '') : before + hours * hour;
    if (time <= before) throw refuse('The instance already expires later than that.');
    checkExpiry(time, this.#options.maxLifetime, pointer);
    checkVerbOfExpiry(caller.principal, instance, time);
    checkLifetime(caller.principal, instance, time, pointer);
    return timestamp(new Date(time));
  }

  /** Deletes instances that have expired and were marked before, through the ordinary delete; returns how many. */
  async deleteExpired(caller: Caller, now: number): Promise<number> {
    let deleted = 0;
    for await (const { id, value } of this.#timed('expires', 1, now, caller.signal)) {
      if (!isDue(value, now)) continue;
      try {
        // Extended in the meantime: it stays. Already gone: nothing to do.
        await this.#instances.delete(caller, id, { purge: true, still: (instance) => isDue(instance, now) });
        deleted += 1;
      } catch (error) {
        unlessMoot(error);
      }
    }
    return deleted;
  }

  /** Removes what has been in the trash for long enough; returns how many. */
  async emptyTrash(caller: Caller, now: number): Promise<number> {
    let removed = 0;
    const isOver = ({ trashedUntil }: InstanceRecord) => Date.parse(trashedUntil ?? '') < now;
    for await (const { id, value } of this.#timed('trash', 2, now, caller.signal)) {
      if (!isOver(value)) continue;
      try {
        // Restored in the meantime: it stays.
        await this.#instances.delete(caller, id, { purge: true, still: isOver });
        removed += 1;
      } catch (error) {
        unlessMoot(error);
      }
    }
    return removed;
  }

  /** Marks instances that will expire soon, or already should have, once; returns how many. */
  async warn(caller: Caller, now: number): Promise<number> {
    let warned = 0;
    for await (const instance of this.#timed('expires', 1, now + this.#options.warning, caller.signal)) {
      const { expirationWarning, deletionTime } = instance.value;
      if (expirationWarning !== undefined || deletionTime !== undefined) continue;
      const marked = { ...instance.value, expirationWarning: timestamp(new Date(now)) };
      const next = instanceAfter(instance, marked);
      try {
        await this.#store.write([{ ...replace(instances, instance, next), loggedAs: 'expire' }]);
        warned += 1;
      } catch (error) {
        // It was changed concurrently; the next sweep checks it again.
        if (!(error instanceof StoreConflict)) throw error;
      }
    }
    return warned;
  }

  /** Existing instances that expire, or leave the trash, in a time window (ms since 1970), page by page. */
  async *#timed(
    order: 'expires' | 'trash',
    from: number,
    before: number,
    signal: AbortSignal,
  ): AsyncGenerator<Document<InstanceRecord>> {
    const span = { column: order, from, before };
    let after: [number, string] | undefined;
    for (;;) {
      const query = { order, span, limit: pageSize, ...(after === undefined ? {} : { after }) };
      const page = await this.#store.page(instances, query, signal);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < pageSize) return;
      const { expiresAt, trashedUntil } = last.value;
      after = [Date.parse((order === 'expires' ? expiresAt : trashedUntil) ?? ''), last.id];
    }
  }
}

/** Whether the instance has expired. Nothing is deleted without a warning, except what its user has already deleted. */
function isDue({ expiresAt, expirationWarning, deletionTime }: InstanceRecord, now: number): boolean {
  return Date.parse(expiresAt ?? '') < now && (expirationWarning !== undefined || deletionTime !== undefined);
}
