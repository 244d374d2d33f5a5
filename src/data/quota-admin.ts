/** How the limits of a project are set and read. What is charged against them: quota.ts. */
import { isDeepStrictEqual } from 'node:util';
import { notFound } from '../model/error.js';
import {
  type Charge,
  chargeOf,
  checkUsed,
  nothingUsed,
  type Quota,
  type QuotaLimits,
  sum,
  type Usage,
} from '../model/quota.js';
import { audited } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { instances } from './instance.js';
import { projects } from './project.js';
import { type Charged, type QuotaRecord, quotas } from './quota.js';
import { ResourceData } from './resource.js';
import { type CollectionSpec, type Document, insert, replace, type Write } from './store/port.js';
import { retrying } from './store/retry.js';
import { instanceAfter } from './wish.js';

/** A collection whose documents are charged: it has the column `project_id`. */
interface Kind<R extends Charged> {
  collection: CollectionSpec<R>;
  amountOf: (record: R) => Charge;
  /** What is stored when a document is charged. */
  after: (before: Document<R>, next: R) => R;
}

const kinds: readonly Kind<Charged>[] = [
  kindOf({ collection: instances, amountOf: chargeOf, after: instanceAfter }),
];

/** Each kind gets documents of its own collection only. */
function kindOf<R extends Charged>(kind: Kind<R>): Kind<Charged> {
  return kind as unknown as Kind<Charged>;
}

const pageSize = 100;

export class QuotaData extends ResourceData {
  async get(caller: Caller, projectId: string): Promise<Quota> {
    const quota = await this.store.get(quotas, projectId, caller.signal);
    const { limits = {}, complete = false, used = nothingUsed } = quota?.value ?? {};
    return { projectId, limits, used: complete ? used : await this.#counted(projectId, caller.signal) };
  }

  /** What a project uses whose use is not kept, because it has never had limits. */
  async #counted(projectId: string, signal: AbortSignal): Promise<Usage> {
    let used = nothingUsed;
    for (const { collection, amountOf } of kinds) {
      for await (const page of this.#pages(collection, projectId, signal)) {
        for (const { value } of page) used = sum(used, amountOf(value));
      }
    }
    return used;
  }

  /**
   * Sets all limits; an absent one is removed. Errors: 422 if one is below what is used. From the first time on, what the
   * project uses is kept: creates that do not know this yet lose the race for the project, and then charge; what is older
   * is charged here. Only then do the limits hold.
   */
  async set(caller: Caller, projectId: string, limits: QuotaLimits): Promise<Accepted> {
    await this.#begin(caller, projectId);
    const quota = await this.store.get(quotas, projectId, caller.signal);
    if (quota?.value.complete === false) await this.#chargeAll(projectId, caller.signal);
    return retrying(async () => {
      const found = await this.#quotaOf(projectId, caller.signal);
      const { used, limits: before } = found.value;
      checkUsed(limits, used);
      const accepted = { id: projectId, text: JSON.stringify({ projectId, limits, used }) };
      const next: QuotaRecord = { limits, used, complete: true };
      if (isDeepStrictEqual(next, found.value)) return accepted;
      const resource = { type: 'quota', id: projectId };
      const audit = await audited(this.store, caller, 'quota.update', resource, before, limits);
      const writes = [replace(quotas, found, next), ...audit, ...(caller.storeResponse?.(accepted) ?? [])];
      await this.store.write(writes, caller.signal);
      return accepted;
    });
  }

  #begin(caller: Caller, projectId: string): Promise<void> {
    return retrying(async () => {
      const project = await this.store.get(projects, projectId, caller.signal);
      if (project === undefined) throw notFound();
      if (project.value.limited === true) return;
      const quota: QuotaRecord = { limits: {}, used: nothingUsed, complete: false };
      const writes = [
        replace(projects, project, { ...project.value, limited: true }),
        insert(quotas, projectId, quota),
      ];
      await this.store.write(writes, caller.signal);
    });
  }

  async #chargeAll(projectId: string, signal: AbortSignal): Promise<void> {
    for (const kind of kinds) {
      for await (const page of this.#pages(kind.collection, projectId, signal)) {
        const ids = page.filter(({ value }) => value.charged === undefined);
        await this.#charge(
          kind,
          projectId,
          ids.map(({ id }) => id),
          signal,
        );
      }
    }
  }

  /** Charges documents that were not charged when they were found. */
  #charge<R extends Charged>(
    { collection, amountOf, after }: Kind<R>,
    projectId: string,
    ids: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    return retrying(async () => {
      const found = await Promise.all(ids.map((id) => this.store.get(collection, id, signal)));
      const writes: Write[] = [];
      let more: Charge = {};
      for (const document of found) {
        if (document === undefined || document.value.charged !== undefined) continue;
        const charged = amountOf(document.value);
        more = sum(more, charged);
        // Nothing that anybody sees has changed.
        const next = after(document, { ...document.value, charged });
        writes.push({ ...replace(collection, document, next), quiet: true });
      }
      if (writes.length === 0) return;
      const quota = await this.#quotaOf(projectId, signal);
      const used = sum(quota.value.used, more);
      await this.store.write([...writes, replace(quotas, quota, { ...quota.value, used })], signal);
    });
  }

  async #quotaOf(projectId: string, signal: AbortSignal): Promise<Document<QuotaRecord>> {
    const quota = await this.store.get(quotas, projectId, signal);
    if (quota === undefined) throw notFound();
    return quota;
  }

  async *#pages<R>(
    collection: CollectionSpec<R>,
    projectId: string,
    signal: AbortSignal,
  ): AsyncGenerator<Document<R>[]> {
    let after: [string] | undefined;
    for (;;) {
      const query = { order: 'id', filter: { project_id: projectId }, limit: pageSize };
      const page = await this.store.page(
        collection,
        after === undefined ? query : { ...query, after },
        signal,
      );
      const last = page.at(-1);
      if (last === undefined) return;
      yield page;
      after = [last.id];
      // An embedded engine responds synchronously; others have their turn in between.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
