import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../../model/error.js';
import { KeyedMutex } from '../../platform/keyed-mutex.js';
import { settlesWithin } from '../../platform/time.js';
import { StoreConflict } from './port.js';

/** Lost races after which something else must be wrong than that many want the same. */
const tries = 200;
/** The longest pause, and the longest time for which one may hold up the others. */
const longestPauseMs = 200;
const longestTurnMs = 5000;

/** Those who lost a race for the same document, in the order in which they lost it. */
const losers = new KeyedMutex();

/**
 * Reads, decides and writes again when somebody was faster: `work` must begin with its reads. Those of this process who
 * lost for the same document try again one after the other, so that of many thousands each succeeds in its turn; against
 * other processes helps a pause that grows and is drawn by lot. Only who loses 200 times gets 409.
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

/** What the race was for; any other failure is thrown on. */
function contended(error: unknown): string {
  if (!(error instanceof StoreConflict) || error.kind !== 'revision') throw error;
  return `${error.collection}\u0000${error.key}`;
}

/** Runs the work behind those who came before; but whoever holds the turn for too long loses it. */
async function inTurn<R>(key: string, work: () => Promise<R>): Promise<R> {
  const { result } = await losers.run(key, async () => {
    const result = work();
    // A stuck turn must not hold up the rest for ever.
    await settlesWithin(result, longestTurnMs);
    return { result };
  });
  return result;
}

/** Whether the write was stored; false when another process was faster, and what it wrote is as good. */
export async function unlessRaced(write: Promise<void>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (error instanceof StoreConflict) return false;
    throw error;
  }
}
