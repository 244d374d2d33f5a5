/** Reads an error response, even one that is not in Copse's own form: a proxy's page, half a body, or none at all. */
import { type ErrorCode, errorCodes, type FieldError } from '../model/error.js';

/** Of the codes that share a status, the most cautious one. */
const general = new Map<number, ErrorCode>([
  [403, 'forbidden'],
  [409, 'conflict'],
  [410, 'gone'],
  [422, 'unprocessable'],
  [503, 'unavailable'],
]);

/** An error response, with its stable code. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly status: number;
  /** From the body, otherwise from `X-Error-Code`, otherwise derived from the status. */
  readonly code: ErrorCode | 'unknown';
  readonly retryable: boolean;
  /** Seconds after which the server suggests a retry. */
  readonly retryAfter: number | undefined;
  /** Identifies the cause in the server's log. */
  readonly requestId: string | undefined;
  /** The faults within the body or the query. */
  readonly errors: readonly FieldError[];
  /** Address of the task that blocks the request. */
  readonly blockedBy: string | undefined;

  constructor(status: number, headers: { get(name: string): string | null }, text: string) {
    const body = objectOf(text);
    super(
      stringOf(body['message'] ?? body['detail'] ?? body['title']) ?? plainText(text) ?? sentence(status),
    );
    const told = [body['code'], headers.get('x-error-code')].find(isCode);
    this.status = status;
    this.code = told ?? codeOf(status);
    this.retryable =
      typeof body['retryable'] === 'boolean'
        ? body['retryable']
        : told === undefined || !Object.hasOwn(errorCodes, told)
          ? mayPass(status)
          : errorCodes[told].retryable;
    this.retryAfter = secondsOf(headers.get('retry-after'));
    this.requestId = stringOf(body['requestId']) ?? headers.get('x-request-id') ?? undefined;
    this.errors = Array.isArray(body['errors']) ? body['errors'].filter(isFieldError) : [];
    this.blockedBy = stringOf(body['blockedBy']);
  }
}

/** The members of a JSON object; empty for anything else. */
function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/** May also be a code of a newer server that is unknown here. */
function isCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && /^[a-z]+(_[a-z]+)*$/.test(value);
}

function isFieldError(value: unknown): value is FieldError {
  return (
    typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string'
  );
}

/** A short text for people; not markup or JSON. */
function plainText(text: string): string | undefined {
  const trimmed = text.trim();
  return /^$|^[<[{"]|^(null|true|false|-?[0-9.e+]+)$/i.test(trimmed) ? undefined : trimmed.slice(0, 200);
}

function sentence(status: number): string {
  return `The server responded with status ${status} and no reason.`;
}

function codeOf(status: number): ErrorCode | 'unknown' {
  const codes = (Object.keys(errorCodes) as ErrorCode[]).filter((code) => errorCodes[code].status === status);
  const [only] = codes;
  return general.get(status) ?? (only !== undefined && codes.length === 1 ? only : 'unknown');
}

/** Whether a retry makes sense, judged by the status alone. */
function mayPass(status: number): boolean {
  return [408, 425, 429].includes(status) || (status >= 500 && ![501, 505].includes(status));
}

/** Seconds from Retry-After, which is a number of seconds or a date (RFC 9110, 10.2.3). */
function secondsOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header);
  // Date.parse would accept a year as a date, and "-1" as a month.
  const time = /^[A-Za-z]{3,9},? /.test(header) ? Date.parse(header) : NaN;
  return Number.isNaN(time) ? undefined : Math.max(0, Math.ceil((time - Date.now()) / 1000));
}
