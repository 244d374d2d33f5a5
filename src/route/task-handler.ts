/**
 * Routes whose work a task carries out: they respond as soon as it is accepted, or wait for its end with `Prefer:
 * wait`.
 */
import { type TObject, type TSchema, Type } from 'typebox';
import type { Accepted, Caller } from '../data/caller.js';
import type { Connector } from '../data/connector.js';
import { taskAddress } from '../data/task.js';
import { toApiError } from '../model/error.js';
import { Task } from '../model/task.js';
import { callerOf } from './caller.js';
import type { Declaration, RequestHandler, RouteRequest } from './pipeline/handler.js';
import { JsonText, type ResponseData } from './pipeline/response.js';
import { dryRunQuery, orPlan, planAnswer, planningOf, planQuery } from './plan.js';
import { defineHandler } from './route.js';

/** The responses to accepted work. */
export interface TaskAnswers {
  responses: Declaration['responses'];
  /** Of a plan, if it is not that of one instance. */
  plan?: TSchema;
  /** For a client that does not wait; also for a repeat under the same Idempotency-Key. */
  accepted: (accepted: Accepted) => ResponseData;
  /** For a client that has waited, whether or not the task has ended; undefined: the same. */
  waited: (
    connector: Connector,
    caller: Caller,
    accepted: Accepted,
    ended: boolean,
  ) => Promise<ResponseData | undefined>;
}

/** 202 with the address of the task; 200 with the task once a client has waited for its end. */
export function taskAnswers(description = 'Accepted; a task does the work. Follow `Location`.'): TaskAnswers {
  return {
    responses: {
      202: { description, headers: ['Location', 'Retry-After'] },
      200: {
        description: 'The client waited for the task; this is the finished task.',
        schema: Task,
        headers: ['ETag'],
      },
    },
    accepted: ({ taskId = '' }) => ({
      metadata: { status: 202, location: taskAddress(taskId), retryAfter: 1 },
    }),
    waited: async (connector, caller, { taskId = '' }, ended) => {
      if (!ended) return undefined;
      const { text, revision } = await connector.tasks.text(caller, taskId);
      return { result: new JsonText(text), metadata: { revision, cacheControl: 'no-store' } };
    },
  };
}

/**
 * The part of the declaration that such a handler provides; the rest follows from its responses. `plans`: with
 * `dryRun=true`, it tells what it would do; `confirmed`: and does only that if it gets the plan's id.
 */
export type TaskDeclaration = Omit<Declaration, 'responses' | 'waits' | 'plans'> & {
  plans?: 'only' | 'confirmed';
};

export interface TaskCode<D extends TaskDeclaration, I> {
  answers?: TaskAnswers;
  /** The only function that sees the request. Its result is the only input of `accept`. */
  parse: (request: RouteRequest<D>) => I;
  /** Stores the change together with its task. A change that needs no task has no `taskId`. */
  accept: (connector: Connector, caller: Caller, input: I) => Promise<Accepted>;
}

function plannedDeclaration(plans: 'only' | 'confirmed', query: TObject | undefined) {
  const parameters = plans === 'only' ? dryRunQuery : planQuery;
  return {
    plans: true,
    query: Type.Object({ ...query?.properties, ...parameters }, { additionalProperties: false }),
  };
}

/** The handler of a change that a task carries out. */
export function taskHandler<const D extends TaskDeclaration, I>(
  declaration: D,
  { answers = taskAnswers(), parse, accept }: TaskCode<D, I>,
): RequestHandler<Connector> {
  const { plans, ...rest }: TaskDeclaration = declaration;
  const planned = plans === undefined ? {} : plannedDeclaration(plans, rest.query);
  const responses = plans === undefined ? answers.responses : orPlan(answers.responses, answers.plan);
  return defineHandler(
    { ...rest, ...planned, waits: true, responses },
    {
      parse: (request) => ({
        caller: callerOf(
          request.context,
          answers.accepted,
          plans === undefined ? undefined : planningOf(request.query),
        ),
        wait: request.context.wait,
        // The declared query, and perhaps the parameters of plans.
        input: parse(request as unknown as RouteRequest<D>),
      }),
      execute: async (connector, { caller, wait, input }) => {
        const accepted = await accept(connector, caller, input);
        if (caller.planning?.dryRun === true) return planAnswer(accepted);
        const { taskId } = accepted;
        if (taskId === undefined || wait === 0) return answers.accepted(accepted);
        const answer = await afterChange(caller, async () => {
          const ended = await connector.tasks.ended(caller, taskId, wait * 1000);
          return answers.waited(connector, caller, accepted, ended);
        });
        return answer ?? answers.accepted(accepted);
      },
    },
  );
}

/**
 * Reads made after a change is stored, for a better response than "accepted". A failure, such as an unavailable store,
 * must not make the change look failed: then there is nothing to add.
 */
async function afterChange<R>(caller: Caller, learn: () => Promise<R>): Promise<R | undefined> {
  try {
    return await learn();
  } catch (error) {
    if (caller.signal.aborted || toApiError(error).code === 'internal') throw error;
    return undefined;
  }
}
