import { ApiError, toApiError } from '../model/error.js';
import type { TaskCause } from '../model/task.js';
import { RegionError, type RegionErrorKind } from '../region/provider.js';

const codes = {
  not_found: 'not_found',
  conflict: 'conflict',
  busy: 'instance_busy',
  unsupported: 'not_implemented',
  transient: 'unavailable',
  terminal: 'unprocessable',
} as const satisfies Record<RegionErrorKind, TaskCause['code']>;

/** What users may read about a failure, and whether another attempt makes sense. */
export function causeOf(error: unknown): TaskCause {
  if (error instanceof RegionError) {
    const retryable = error.kind === 'busy' || error.kind === 'transient';
    return { code: codes[error.kind], message: error.message, retryable };
  }
  const known = toApiError(error);
  if (error instanceof ApiError)
    return { code: known.code, message: known.publicMessage, retryable: known.retryable };
  return {
    code: 'internal',
    message: 'The task failed unexpectedly; the log has the cause under the task id.',
    retryable: true,
  };
}
