/** From the pipeline's context to the data layer's caller, and the answers that asynchronous changes get. */
import type { Connector } from '../data/connector.js';
import type { Accepted, Caller } from '../data/caller.js';
import type { Write } from '../data/store/port.js';
import { taskAddress } from '../data/task.js';
import type { RequestContext } from './pipeline/context.js';
import { mustHaveUser } from './pipeline/context.js';
import type { ResponseData } from './pipeline/response.js';
import { JsonText } from './pipeline/response.js';

/** The caller; `answer` says what a repeat under the same Idempotency-Key shall get. */
export function callerOf(context: RequestContext, answer?: (accepted: Accepted) => ResponseData): Caller {
  const { requestId, traceparent, precondition, remember } = context;
  return {
    principal: mustHaveUser(context),
    requestId,
    // Asked for only by what takes time: a signal costs a short request 3 µs.
    get signal() {
      return context.signal;
    },
    traceparent,
    precondition,
    remember:
      remember === undefined || answer === undefined
        ? undefined
        : (accepted: Accepted) => remember(answer(accepted)) as Write[],
  };
}

/** 202: a task carries the change out. */
export function acceptedAnswer({ taskId = '' }: Accepted): ResponseData {
  return { metadata: { status: 202, location: taskAddress(taskId), retryAfter: 1 } };
}

/**
 * The answer to a change that a task carries out: 202 with its address, or, when the client would wait and the task ends
 * in that time, 200 with the task.
 */
export async function answerWhenEnded(
  connector: Connector,
  caller: Caller,
  accepted: Accepted,
  wait: number,
): Promise<ResponseData> {
  const { taskId } = accepted;
  if (taskId === undefined || wait === 0 || !(await connector.tasks.ended(caller, taskId, wait * 1000))) {
    return acceptedAnswer(accepted);
  }
  const { text, revision } = await connector.tasks.text(caller, taskId);
  return { result: new JsonText(text), metadata: { revision, cacheControl: 'no-store' } };
}
