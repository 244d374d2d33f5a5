/** Converts the pipeline's context to the data layer's caller. */
import type { Accepted, Caller, Planning } from '../data/caller.js';
import type { Write } from '../data/store/port.js';
import { mustHaveUser, type RequestContext } from './pipeline/context.js';
import type { ResponseData } from './pipeline/response.js';

/** The caller; `answer` builds the response for a repeat under the same Idempotency-Key. */
export function callerOf(
  context: RequestContext,
  answer?: (accepted: Accepted) => ResponseData,
  planning?: Planning,
): Caller {
  const { requestId, traceparent, precondition, storeResponse } = context;
  return {
    principal: mustHaveUser(context),
    requestId,
    // Created only for work that takes time: a signal costs a short request 3 µs.
    get signal() {
      return context.signal;
    },
    traceparent,
    precondition,
    planning,
    storeResponse:
      storeResponse === undefined || answer === undefined
        ? undefined
        : (accepted: Accepted) => storeResponse(answer(accepted)) as Write[],
  };
}
