import { ApiError } from '../../model/error.js';
import { StoreConflict } from './port.js';

const tries = 50;

/**
 * Reads, decides and writes again when somebody was faster: `work` must begin with its reads. After 50 lost races
 * the caller gets 409 rather than a wait without end.
 */
export async function retrying<R>(work: () => Promise<R>): Promise<R> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreConflict) || error.kind !== 'revision') throw error;
      if (attempt >= tries)
        throw new ApiError('conflict', 'The resource changes too often; try again.', { cause: error });
    }
  }
}
