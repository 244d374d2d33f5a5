import { ApiError, toApiError } from '../model/error.js';
import { type SubjectType, subjectTypes, type TaskCause } from '../model/task.js';
import { RegionError, type RegionErrorKind } from '../region/provider.js';

const codes = {
  not_found: 'not_found',
  conflict: 'conflict',
  unsupported: 'not_implemented',
  transient: 'unavailable',
  terminal: 'unprocessable',
} as const satisfies Record<Exclude<RegionErrorKind, 'busy'>, TaskCause['code']>;

/** Not all of the tasks that a task follows have succeeded. */
export class ChildrenFailed extends Error {
  override readonly name = 'ChildrenFailed';
}

/** What users may read about the failure of a task on a subject of this type, and whether to try again. */
export function causeOf(error: unknown, subject: SubjectType | undefined): TaskCause {
  if (error instanceof RegionError) {
    const retryable = error.kind === 'busy' || error.kind === 'transient';
    const code = error.kind === 'busy' ? busyCode(subject) : codes[error.kind];
    return { code, message: error.message, retryable };
  }
  if (error instanceof ChildrenFailed)
    return { code: 'children_failed', message: error.message, retryable: false };
  const known = toApiError(error);
  if (error instanceof ApiError)
    return { code: known.code, message: known.publicMessage, retryable: known.retryable };
  return {
    code: 'internal',
    message: 'The task failed unexpectedly; the log has the cause under the task id.',
    retryable: true,
  };
}

function busyCode(subject: SubjectType | undefined): TaskCause['code'] {
  return subject === undefined ? 'unavailable' : subjectTypes[subject].busy;
}
