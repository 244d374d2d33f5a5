/**
 * The one error type that reaches clients: a stable code, a public message, and a cause that only the log sees.
 *
 * Model: InfluxDB's platform error (code, message, cause; messages flatten with ": "), with its codes made precise
 * enough for a program to act on and each mapped to exactly one HTTP status.
 */

import { type ErrorCode, errorCodes } from './error-code.js';

export { type ErrorCode, errorCodes };

/** One fault within a body or query: where it is, as a JSON pointer (RFC 6901) or a parameter name, and what is wrong. */
export interface FieldError {
  pointer?: string;
  parameter?: string;
  message: string;
}

export interface ApiErrorOptions {
  /** Internal; logged, never sent unless it is itself an ApiError. */
  cause?: unknown;
  /** A word or two for the log, if clients must not learn which of several reasons applied; never sent. */
  reason?: string;
  errors?: FieldError[];
  /** Address of the task that blocks the request (409). */
  blockedBy?: string;
  /** Extra response headers, such as Allow or Retry-After. */
  headers?: Record<string, string>;
}

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorCode;
  readonly errors: FieldError[] | undefined;
  readonly blockedBy: string | undefined;
  readonly reason: string | undefined;
  readonly headers: Record<string, string>;

  constructor(code: ErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.errors = options.errors;
    this.blockedBy = options.blockedBy;
    this.reason = options.reason;
    this.headers = options.headers ?? {};
  }

  get status(): number {
    return errorCodes[this.code].status;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }

  get lasting(): boolean {
    return errorCodes[this.code].lasting;
  }

  /** The public text: this message and those of the ApiErrors below it, joined by ": ". Foreign causes stay out. */
  get publicMessage(): string {
    const texts = [this.message];
    const seen = new Set<unknown>([this]);
    let cause: unknown = this.cause;
    while (cause instanceof Error && !seen.has(cause)) {
      seen.add(cause);
      if (cause instanceof ApiError) texts.push(cause.message);
      cause = cause.cause;
    }
    return texts.join(': ');
  }
}

/** The same error for "absent" and "hidden from you": same code, same message. Only the log gets the reason. */
export function notFound(cause?: unknown, reason?: string): ApiError {
  return new ApiError('not_found', 'There is no such resource, or you may not see it.', {
    cause,
    ...(reason === undefined ? {} : { reason }),
  });
}

/** What a read gave; nothing: `not_found`. */
export function orNotFound<T>(found: T | undefined): T {
  if (found === undefined) throw notFound();
  return found;
}

/** The same for a resource named in the body at this pointer. */
export function notFoundAt(pointer: string, what: string): ApiError {
  const message = `There is no such ${what}, or you may not see it.`;
  return new ApiError('not_found', message, { errors: [{ pointer, message }] });
}

/** For a member of the project whose role, or whose credential, does not include the right. */
export function rightMissing(right: string): ApiError {
  return new ApiError('forbidden', `You lack the right "${right}" in this project.`);
}

/**
 * Finds the ApiError in a chain of causes; any other error is a bug and becomes `internal`, as does one with a code
 * that is not in the table.
 */
export function toApiError(error: unknown): ApiError {
  const seen = new Set<unknown>();
  let at: unknown = error;
  while (at instanceof Error && !seen.has(at)) {
    if (at instanceof ApiError) return Object.hasOwn(errorCodes, at.code) ? at : internal(nameless(at));
    seen.add(at);
    at = at.cause;
  }
  return internal(error);
}

function internal(cause: unknown): ApiError {
  const message = 'An internal error occurred. The server log has the cause under the request id.';
  return new ApiError('internal', message, { cause });
}

/** The same as a plain error, whose message clients never see. */
function nameless({ code, message }: ApiError): Error {
  return new Error(`There is no error code "${code}": ${message}`);
}

/** Whether the store was unavailable, so that the operation may be retried. */
export function isOutage(error: unknown): boolean {
  return error instanceof Error && toApiError(error).code === 'store_unavailable';
}
