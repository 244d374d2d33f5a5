import { Type } from 'typebox';
import type { Accepted } from '../data/caller.js';
import { Uuid } from '../model/common.js';
import { Quota, QuotaUpdate } from '../model/quota.js';
import { callerOf } from './caller.js';
import { JsonText, type ResponseData } from './pipeline/response.js';
import { defineHandler } from './route.js';

const projectParams = Type.Object({ projectID: Uuid }, { additionalProperties: false });

/** GET /api/v2/projects/{projectID}/quota */
export const getQuota = defineHandler(
  {
    operationId: 'getQuota',
    summary: 'What the project may use, and what it uses',
    tags: ['projects'],
    params: projectParams,
    responses: { 200: { description: 'The quota.', schema: Quota } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.projectID }),
    execute: async (connector, { caller, id }) => ({ result: await connector.quotas.get(caller, id) }),
  },
);

const changed = ({ text = '' }: Accepted): ResponseData => ({ result: new JsonText(text) });

/** PUT /api/v2/projects/{projectID}/quota */
export const putQuota = defineHandler(
  {
    operationId: 'putQuota',
    summary: 'Set what the project may use',
    description:
      'Replaces all limits: a member that is absent has no limit. A limit below what is used is refused with 422, which says what is used.',
    tags: ['projects'],
    params: projectParams,
    body: QuotaUpdate,
    example: { limits: { instances: 1000, cpus: 4000 } },
    responses: { 200: { description: 'The quota.', schema: Quota } },
    errors: ['unprocessable', 'not_found', 'conflict'],
  },
  {
    parse: ({ params, body, context }) => ({
      caller: callerOf(context, changed),
      id: params.projectID,
      limits: body.limits,
    }),
    execute: async (connector, { caller, id, limits }) =>
      changed(await connector.quotas.set(caller, id, limits)),
  },
);
