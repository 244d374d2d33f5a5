/** From the pipeline's context to the data layer's caller, and the answers that asynchronous changes get. */
import type { Connector } from '../data/connector.js';
import type { Accepted, Caller } from '../data/caller.js';
import type { Write } from '../data/store/port.js';
import { taskAddress } from '../data/task.js';
import { toApiError } from '../model/error.js';
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
 * What is learnt after a change is stored, for a better answer than "accepted". A failure, such as a store that is away by now,
 * must not make the change look as if it had failed: then there is nothing to add.
 */
export async function afterChange<R>(caller: Caller, learn: () => Promise<R>): Promise<R | undefined> {
  try {
    return await learn();
  } catch (error) {
    if (caller.signal.aborted || toApiError(error).code === 'internal') throw error;
    return undefined;
  }
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
  if (taskId === undefined || wait === 0) return acceptedAnswer(accepted);
  const task = await afterChange(caller, async () => {
    const ended = await connector.tasks.ended(caller, taskId, wait * 1000);
    return ended ? connector.tasks.text(caller, taskId) : undefined;
  });
  if (task === undefined) return acceptedAnswer(accepted);
  const { text, revision } = task;
  return { result: new JsonText(text), metadata: { revision, cacheControl: 'no-store' } };
}
