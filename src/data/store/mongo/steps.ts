/** Applies the steps of an entry: repeatably, or once within a transaction. */
import {
  type AnyBulkWriteOperation,
  type ClientSession,
  type Collection,
  type Document,
  type Filter,
  MongoBulkWriteError,
  type OptionalUnlessRequiredId,
} from 'mongodb';
import { isDuplicate } from './failure.js';
import type { Scalar } from '../port.js';
import type { StoredDocument } from './documents.js';
import type { Step } from './entry.js';

/** Guarded operations per command, so that none takes long if every guard is a scan. */
const commandLimit = 25;

/** Inserts what does not exist yet. */
export async function insertOnce<D extends Document>(
  collection: Collection<D>,
  documents: readonly OptionalUnlessRequiredId<D>[],
): Promise<void> {
  try {
    await collection.insertMany(documents, { ordered: false });
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    await assertThere(collection, documents, error);
  }
}

/** Not all servers name the index that rejected a document, and only the id index shows that it already exists. */
async function assertThere<D extends Document>(
  collection: Collection<D>,
  documents: readonly OptionalUnlessRequiredId<D>[],
  cause: unknown,
): Promise<void> {
  const failed = cause instanceof MongoBulkWriteError ? [cause.writeErrors].flat() : [];
  const ids = failed.flatMap(({ index }) => (documents[index] as { _id: Scalar } | undefined)?._id ?? []);
  const found = await Promise.all(
    ids.map((_id) => collection.findOne({ _id } as Filter<D>, { projection: { _id: 1 } })),
  );
  const missing = ids.find((_id, at) => found[at] === null);
  if (missing === undefined) return;
  throw new Error(
    `An index of ${collection.collectionName} that Copse did not create rejects ${String(missing)}; drop it, and the write will be completed.`,
    { cause },
  );
}

/** In order, each unless it was applied before. */
export async function takeSteps(
  collection: Collection<StoredDocument>,
  steps: readonly Step[],
): Promise<void> {
  for (const run of runsOf(steps)) {
    const inserted = run.flatMap(({ from, to }) => (from === null && to !== null ? [to] : []));
    if (inserted.length > 0) await insertOnce(collection, inserted);
    else await collection.bulkWrite(run.map(operationOf), { ordered: true });
  }
}

/** In order; rejects if one of them cannot be applied, which means that something wrote without the journal. */
export async function takeStepsIn(
  session: ClientSession,
  collection: Collection<StoredDocument>,
  steps: readonly Step[],
): Promise<void> {
  const done = await collection.bulkWrite(steps.map(operationOf), { ordered: true, session });
  if (done.insertedCount + done.matchedCount + done.deletedCount !== steps.length)
    throw new Error(`A document of ${collection.collectionName} was changed without the journal`);
}

/** Consecutive ones of the same kind. */
function runsOf(steps: readonly Step[]): Step[][] {
  const runs: Step[][] = [];
  for (const step of steps) {
    const run = runs.at(-1);
    const inserts = step.from === null;
    const alike = run !== undefined && (run[0]?.from === null) === inserts;
    if (alike && (inserts || run.length < commandLimit)) run.push(step);
    else runs.push([step]);
  }
  return runs;
}

function operationOf({ id, from, to }: Step): AnyBulkWriteOperation<StoredDocument> {
  if (from === null) {
    if (to === null) throw new Error('A step leads from nothing to nothing');
    return { insertOne: { document: to } };
  }
  const filter = { _id: id, stamp: from };
  return to === null ? { deleteOne: { filter } } : { replaceOne: { filter, replacement: to } };
}
