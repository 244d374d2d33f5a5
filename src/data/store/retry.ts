import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../../model/error.js';
import { KeyedMutex } from '../../platform/keyed-mutex.js';
import { settlesWithin } from '../../platform/time.js';
import { StoreConflict } from './port.js';

/** Number of lost races after which the cause must be something other than contention. */
const tries = 200;
/** The longest pause, and the longest time for which one writer may delay the others. */
const longestPauseMs = 200;
const longestTurnMs = 5000;

/** The losers of a race for the same document, in the order in which they lost it. */
const losers = new KeyedMutex();

/**
 * Reads, decides and writes again if another writer was faster: `work` must begin with its reads. Losers within this
 * process that compete for the same document retry one after the other, so that among many thousands each succeeds in
 * its turn; against other processes, random and growing pauses help. Only a writer that loses 200 times gets 409.
 */
export async function retrying<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    return inTurn(contended(error), () => insisting(work));
  }
}

async function insisting<R>(work: () => Promise<R>): Promise<R> {
  for (let attempt = 2; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      contended(error);
      if (attempt >= tries)
        throw new ApiError('conflict', 'The resource changes too often; try again.', { cause: error });
      await sleep(Math.random() * Math.min(longestPauseMs, 2 ** Math.min(attempt, 10)));
    }
  }
}

/** What the race was for; any other failure is rethrown. */
function contended(error: unknown): string {
  if (!(error instanceof StoreConflict) || error.kind !== 'revision') throw error;
  return `${error.collection}\u0000${error.key}`;
}

/** Runs the work after earlier ones; but one that holds its turn for too long loses it. */
async function inTurn<R>(key: string, work: () => Promise<R>): Promise<R> {
  const { result } = await losers.run(key, async () => {
    const result = work();
    // A stuck turn must not block the others forever.
    await settlesWithin(result, longestTurnMs);
    return { result };
  });
  return result;
}

/** Whether the write was stored; false if another process was faster and its write is equally good. */
export async function unlessRaced(write: Promise<void>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (error instanceof StoreConflict) return false;
    throw error;
  }
}
