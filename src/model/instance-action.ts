/** One verb for many instances at once. */
import { Type, type Static } from 'typebox';
import { defined, ProvisioningStatus, Tag, Timestamp, Uuid } from './common.js';
import { ApiError, type FieldError } from './error.js';
import { Plan, PlanId } from './plan.js';

/** How many instances one request may act on: their changes are stored in one step. */
export const actionLimit = 100;

export const ActionVerb = Type.Union(
  [Type.Literal('start'), Type.Literal('stop'), Type.Literal('reboot'), Type.Literal('delete')],
  { title: 'ActionVerb' },
);
export type ActionVerb = Static<typeof ActionVerb>;

export const InstanceActions = Type.Object(
  {
    verb: ActionVerb,
    projectId: Type.Optional({
      ...Uuid,
      description:
        'The project whose instances are meant. May be omitted if the selector names ids, and by a caller who is a member of exactly one project.',
    }),
    selector: Type.Optional(
      Type.Object(
        {
          ids: Type.Optional(Type.Array(Uuid, { minItems: 1, maxItems: actionLimit, uniqueItems: true })),
          tags: Type.Optional(
            Type.Array(Tag, { minItems: 1, maxItems: 32, description: 'All of them must be present.' }),
          ),
          status: Type.Optional(
            Type.Array(ProvisioningStatus, {
              minItems: 1,
              maxItems: 10,
              uniqueItems: true,
              description: 'As `metadata.provisioningStatus`; one of them must be it.',
            }),
          ),
        },
        {
          title: 'InstanceSelector',
          description: 'All of its members must match.',
          additionalProperties: false,
        },
      ),
    ),
    all: Type.Optional(
      Type.Boolean({
        description: 'Required to act on every instance of the project, unless `ids` names them.',
      }),
    ),
    atomic: Type.Optional(
      Type.Boolean({ description: 'Act on all of the instances or, if one of them refuses, on none.' }),
    ),
    hard: Type.Optional(
      Type.Boolean({ description: 'Of a reboot: cut the power instead of asking the guest.' }),
    ),
  },
  { title: 'InstanceActions', additionalProperties: false },
);
export type InstanceActions = Static<typeof InstanceActions>;

const Refusal = Type.Object(
  {
    code: Type.String(),
    message: Type.String(),
    retryable: Type.Boolean(),
    blockedBy: Type.Optional(Type.String({ description: 'Path of the task in the way.' })),
  },
  { title: 'ActionRefusal', additionalProperties: false },
);

const result = { instanceId: Uuid, error: Type.Optional(Refusal) };

export const InstanceActionResults = Type.Object(
  {
    taskId: { ...Uuid, description: 'The task that ends when those of the instances have ended.' },
    results: Type.Array(
      Type.Object(
        { ...result, taskId: Type.Optional(Uuid) },
        {
          title: 'InstanceActionResult',
          description: 'The task of the instance, or the error with which it refuses.',
          additionalProperties: false,
        },
      ),
    ),
  },
  { title: 'InstanceActionResults', additionalProperties: false },
);
export type InstanceActionResults = Static<typeof InstanceActionResults>;
export type InstanceActionResult = InstanceActionResults['results'][number];

export const InstanceActionPlan = Type.Object(
  {
    results: Type.Array(
      Type.Object(
        { ...result, plan: Type.Optional(Plan) },
        { title: 'PlannedAction', additionalProperties: false },
      ),
    ),
    planId: Type.Optional(PlanId),
    validUntil: Type.Optional(Timestamp),
  },
  { title: 'InstanceActionPlan', additionalProperties: false },
);
export type InstanceActionPlan = Static<typeof InstanceActionPlan>;

/** Rules beyond the schema. */
export function checkActions({ verb, hard, selector, all }: InstanceActions): void {
  if (hard !== undefined && verb !== 'reboot')
    throw refused('/hard', 'Only a reboot can be hard; omit it, or set verb to "reboot".');
  if (all !== true && Object.keys(selector ?? {}).length === 0)
    throw refused(
      '/selector',
      'This selects every instance of the project: name ids, tags or status, or set all to true.',
    );
}

export function refused(pointer: string, message: string): ApiError {
  return new ApiError('unprocessable', message, { errors: [{ pointer, message }] });
}

/** The error with which an instance refuses, as part of the response. */
export function refusalOf(error: ApiError): NonNullable<InstanceActionResult['error']> {
  const { code, publicMessage: message, retryable, blockedBy } = error;
  return defined({ code, message, retryable, blockedBy });
}

/** None of the instances is acted on: for `atomic`, or because all of them refuse. */
export function allRefused(results: readonly InstanceActionResult[]): ApiError {
  const errors = results.flatMap(({ instanceId, error }): FieldError[] =>
    error === undefined ? [] : [{ message: `${instanceId}: ${error.message}` }],
  );
  const message = `${errors.length} of ${results.length} instances refuse; none was acted on.`;
  return new ApiError('actions_refused', message, { errors });
}
