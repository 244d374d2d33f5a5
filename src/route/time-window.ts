/** Times in queries. */
import { ApiError } from '../model/error.js';

/** Ms since 1970. RFC 3339 allows leap seconds, which no clock here can represent. */
export function timeOf(parameter: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const time = Date.parse(text);
  if (!Number.isNaN(time)) return time;
  const message = 'Not a valid time.';
  throw new ApiError('invalid_parameter', `${parameter}: ${message}`, { errors: [{ parameter, message }] });
}
