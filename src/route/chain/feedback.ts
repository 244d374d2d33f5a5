/** The envelope of GoREST's answers, in JSON, XML or CBOR. */
import type { Formatter } from './formatter.js';

export interface Feedback {
  statusCode: number;
  status: 'success' | 'fail';
  message?: string;
  payload?: unknown;
}

function feedback(
  statusCode: number,
  status: Feedback['status'],
  message: string,
  payload?: unknown,
): Feedback {
  return {
    ...{ statusCode, status },
    ...(message === '' ? {} : { message }),
    ...(payload === undefined || payload === null ? {} : { payload }),
  };
}

/** 200 with the payload. False: the chain ends here. */
export function positiveFeedback(formatter: Formatter, payload: unknown, message = ''): false {
  formatter.write(200, feedback(200, 'success', message, payload), { root: 'Feedback' });
  return false;
}

/** The status with a message, which is sent as it is. False: the chain ends here. */
export function negativeFeedback(formatter: Formatter, status: number, message: string): false {
  formatter.write(status, feedback(status, 'fail', message), { root: 'Feedback' });
  return false;
}
