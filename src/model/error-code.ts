/**
 * Every code a client can meet. A code is never renamed or reused; add a row instead. `retryable`: the same request may
 * succeed later by itself. `lasting`: the request itself is wrong, whatever time or others do, so a repeat under the
 * same Idempotency-Key gets the same refusal; any other refusal is not stored, and the repeat does the work.
 */
export const errorCodes = {
  malformed_json: {
    status: 400,
    retryable: false,
    lasting: true,
    meaning: 'The body is not JSON, or is empty where JSON is required.',
  },
  malformed_body: {
    status: 400,
    retryable: false,
    lasting: true,
    meaning:
      'The body is not well-formed in its media type (XML, CBOR or a form), or has too many parts or levels.',
  },
  invalid_body: {
    status: 400,
    retryable: false,
    lasting: true,
    meaning: 'The body violates its schema; `errors` says where.',
  },
  invalid_parameter: {
    status: 400,
    retryable: false,
    lasting: true,
    meaning: 'A path or query parameter is malformed, out of range or unknown.',
  },
  invalid_cursor: {
    status: 400,
    retryable: false,
    lasting: true,
    meaning: 'The cursor is damaged or belongs to another list. Start again from the first page.',
  },
  invalid_reference: {
    status: 400,
    retryable: false,
    lasting: true,
    meaning:
      'The request refers to something that does not exist or does not fit: a flavor or image of the region, or a region or project in a filter. `errors` says which.',
  },
  unauthorized: {
    status: 401,
    retryable: false,
    lasting: false,
    meaning: 'The request has no valid credential.',
  },
  forbidden: {
    status: 403,
    retryable: false,
    lasting: false,
    meaning: 'The caller may see the resource but is not allowed to do this.',
  },
  quota_exceeded: {
    status: 403,
    retryable: false,
    lasting: false,
    meaning: 'The quota of the project has not enough left; `errors` says of what, and how much.',
  },
  not_found: {
    status: 404,
    retryable: false,
    lasting: false,
    meaning: 'The resource does not exist, or the caller may not know that it does.',
  },
  method_not_allowed: {
    status: 405,
    retryable: false,
    lasting: true,
    meaning: 'The path supports only the methods in `Allow`.',
  },
  not_acceptable: {
    status: 406,
    retryable: false,
    lasting: false,
    meaning: 'The response exists in none of the media types in `Accept`; the message names those it has.',
  },
  request_timeout: {
    status: 408,
    retryable: true,
    lasting: false,
    meaning: 'The request did not arrive or finish in time.',
  },
  events_expired: {
    status: 410,
    retryable: false,
    lasting: true,
    meaning:
      'The events after this position are no longer stored. List the resources again, then follow new events.',
  },
  conflict: {
    status: 409,
    retryable: true,
    lasting: false,
    meaning: 'The resource was changed concurrently. Read it again.',
  },
  name_taken: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'Another resource has this name, which must be unique.',
  },
  already_exists: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'What the request would add already exists.',
  },
  deletion_protected: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'The instance is protected from deletion: set `spec.deletionProtection` to false first.',
  },
  not_trashed: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'The instance is not in the trash, so there is nothing to restore.',
  },
  in_use: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning:
      'The resource cannot be removed, because other resources depend on it, such as the instances of a project.',
  },
  power_state_conflict: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'The instance is not in a power state that allows this.',
  },
  actions_refused: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning:
      'Instances refuse what was asked of many at once, and none was acted on; `errors` has their reasons.',
  },
  task_state_conflict: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'The task is not in a state that allows this: it has ended, or has not ended yet.',
  },
  idempotency_in_progress: {
    status: 409,
    retryable: true,
    lasting: false,
    meaning: 'The first request with this Idempotency-Key is still in progress. Repeat after `Retry-After`.',
  },
  instance_busy: {
    status: 409,
    retryable: true,
    lasting: false,
    meaning: 'Another task of the resource blocks the request; `blockedBy` is its address.',
  },
  being_deleted: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'The resource is being deleted and accepts no more changes.',
  },
  changed_since: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'The change cannot be undone, because the resource has been changed since.',
  },
  not_revertible: {
    status: 409,
    retryable: false,
    lasting: false,
    meaning: 'A change of this kind cannot be undone; the message says why, and what to do instead.',
  },
  gone: {
    status: 410,
    retryable: false,
    lasting: true,
    meaning: 'The route has been removed; `Link` names its documentation.',
  },
  precondition_failed: {
    status: 412,
    retryable: false,
    lasting: false,
    meaning: 'The resource is not in the state that If-Match or If-None-Match requires. Read it again.',
  },
  too_large: { status: 413, retryable: false, lasting: true, meaning: 'The body is larger than the limit.' },
  uri_too_long: {
    status: 414,
    retryable: false,
    lasting: true,
    meaning: 'The request target is longer than the limit.',
  },
  unsupported_media_type: {
    status: 415,
    retryable: false,
    lasting: true,
    meaning: 'The media type of the body is not supported.',
  },
  expectation_failed: {
    status: 417,
    retryable: false,
    lasting: true,
    meaning: 'The `Expect` header asks for something that is not supported.',
  },
  unprocessable: {
    status: 422,
    retryable: false,
    lasting: true,
    meaning: 'The body is well formed, but the request cannot be carried out.',
  },
  idempotency_mismatch: {
    status: 422,
    retryable: false,
    lasting: true,
    meaning: 'The Idempotency-Key was used for a different request.',
  },
  replace_required: {
    status: 422,
    retryable: false,
    lasting: false,
    meaning: 'The change would wipe the machine; repeat it with `allowReplace=true` to confirm.',
  },
  plan_required: {
    status: 428,
    retryable: false,
    lasting: false,
    meaning:
      'The credential requires that the change is planned first: with `dryRun=true`, then with `planID`.',
  },
  rate_limited: {
    status: 429,
    retryable: true,
    lasting: false,
    meaning: 'Too many requests; wait for `Retry-After`.',
  },
  headers_too_large: {
    status: 431,
    retryable: false,
    lasting: true,
    meaning: 'The request headers are larger than the limit.',
  },
  internal: {
    status: 500,
    retryable: true,
    lasting: false,
    meaning: 'An internal error; the log has the cause under the request id.',
  },
  not_implemented: { status: 501, retryable: false, lasting: false, meaning: 'The region cannot do this.' },
  deadline_exceeded: {
    status: 503,
    retryable: true,
    lasting: false,
    meaning: 'The request took longer than allowed. Try again after `Retry-After`.',
  },
  store_unavailable: {
    status: 503,
    retryable: true,
    lasting: false,
    meaning: 'The database is unreachable or cannot be written. Try again after `Retry-After`.',
  },
  switched_off: {
    status: 503,
    retryable: true,
    lasting: false,
    meaning: 'A superuser has switched this function off; the message names the service flag.',
  },
  unavailable: {
    status: 503,
    retryable: true,
    lasting: false,
    meaning: 'A part of the service is unavailable. Try again after `Retry-After`.',
  },
} as const satisfies Record<
  string,
  { status: number; retryable: boolean; lasting: boolean; meaning: string }
>;

export type ErrorCode = keyof typeof errorCodes;
