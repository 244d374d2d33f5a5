/** `dryRun` and `planID`: the parameters of routes that tell what they would do, and the response that tells it. */
import { type TSchema, Type } from 'typebox';
import type { Accepted, Planning } from '../data/caller.js';
import { emptyPlan, Plan, PlanId } from '../model/plan.js';
import type { ResponseDeclaration } from './pipeline/handler.js';
import type { ResponseData } from './pipeline/response.js';

export const dryRunQuery = {
  dryRun: Type.Optional(
    Type.Boolean({
      description:
        'Answer what would happen, and do nothing. Refusals are the same as without it; an Idempotency-Key has no effect.',
    }),
  ),
};

export const planQuery = {
  ...dryRunQuery,
  planID: Type.Optional({
    ...PlanId,
    description:
      'The `planId` of a response to `dryRun=true`: 412 if the request would do anything else than that plan said.',
  }),
};

interface Asked {
  dryRun?: boolean;
  planID?: string;
}

export function planningOf(query: object): Planning {
  const { dryRun = false, planID } = query as Asked;
  return { dryRun, planId: planID };
}

type Responses = Readonly<Record<number, ResponseDeclaration>>;

/** The responses, one of which may be the plan. */
export function orPlan(responses: Responses, plan: TSchema = Plan): Responses {
  const known = responses[200];
  const description = 'With `dryRun=true`: what would happen.';
  if (known?.schema === undefined) return { ...responses, 200: { description, schema: plan } };
  const schema: TSchema = Type.Union([known.schema, plan]);
  return { ...responses, 200: { ...known, schema, description: `${known.description} ${description}` } };
}

export function planAnswer({ id, plan, plans }: Accepted): ResponseData {
  return { result: plans ?? plan ?? emptyPlan(id), metadata: { status: 200, cacheControl: 'no-store' } };
}
