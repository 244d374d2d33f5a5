/**
 * The durable log of writes to logged collections. Positions are assigned by the journal, so they are in commit order.
 */
import type { Collection, Db, Filter } from 'mongodb';
import type { Change, ChangePage, ChangeQuery } from '../port.js';
import type { Index } from './documents.js';
import type { Entry, Head, LoggedStep } from './entry.js';

export const changesName = 'copse_changes';

/** A change, with its position as `_id`. */
export interface ChangeDocument extends Omit<Change, 'position' | 'id'> {
  _id: number;
  documentId: string;
}

export const changeIndexes: readonly Index[] = [
  { name: 'by_scope', fields: { scope: 1, _id: 1 }, unique: false },
  { name: 'by_time', fields: { time: 1 }, unique: false },
];

/** What an entry adds to the log; the same for every process that applies it. */
export function changeDocuments({ changes = [], steps = [], last, time }: Entry): ChangeDocument[] {
  const first = last - changes.length + 1;
  return changes.map(({ step, op, revision, scope }: LoggedStep, index) => {
    const { collection, id, to } = steps[step] ?? { collection: '', id: '', to: null };
    return {
      _id: first + index,
      time: new Date(time).toISOString(),
      collection,
      documentId: id,
      op,
      revision,
      scope,
      text: op === 'remove' ? null : (to?.public ?? null),
    };
  });
}

export class ChangeLog {
  readonly #changes: Collection<ChangeDocument>;

  constructor(db: Db) {
    this.#changes = db.collection<ChangeDocument>(changesName);
  }

  /** Only up to the head: entries that are not applied yet would leave gaps. */
  async read({ after, scopes, insertedInto, limit }: ChangeQuery, { last }: Head): Promise<ChangePage> {
    if (after >= last || limit <= 0) return { changes: [], next: limit <= 0 ? after : Math.max(after, last) };
    const filter: Filter<ChangeDocument> = { _id: { $gt: after, $lte: last } };
    if (scopes !== undefined) filter.scope = { $in: [...scopes] };
    if (insertedInto !== undefined) Object.assign(filter, { op: 'insert', collection: insertedInto });
    const rows = await this.#changes
      .find(filter, { sort: { _id: 1 }, limit, batchSize: limit + 1 })
      .toArray();
    const changes = rows.map(({ _id, time, collection, documentId, op, revision, scope, text }): Change => ({
      position: _id,
      time,
      collection,
      id: documentId,
      op,
      revision,
      scope,
      text,
    }));
    const full = changes.length === limit ? changes.at(-1)?.position : undefined;
    return { changes, next: full ?? last };
  }

  async range({ last }: Head): Promise<{ first: number; last: number }> {
    const first = await this.#changes.find({}, { sort: { _id: 1 }, limit: 1, projection: { _id: 1 } }).next();
    // Another process may just have added changes beyond the head that this one has seen.
    const known = Math.max(last, first?._id ?? 0);
    return { first: first?._id ?? (last === 0 ? 0 : last + 1), last: known };
  }

  /**
   * Positions and times increase together, except when clocks jump; a later change is never dropped before an earlier
   * one.
   */
  async trim(before: string, { last }: Head): Promise<number> {
    const kept = await this.#changes
      .find({ time: { $gte: before } }, { sort: { _id: 1 }, limit: 1, projection: { _id: 1 } })
      .next();
    const end = kept === null ? last + 1 : Math.min(kept._id, last + 1);
    const { deletedCount } = await this.#changes.deleteMany({ _id: { $lt: end } });
    return deletedCount;
  }
}
