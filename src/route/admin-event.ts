import { Type } from 'typebox';
import { AuditEvent } from '../model/audit.js';
import { Timestamp } from '../model/common.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';

const Text = Type.String({ minLength: 1, maxLength: 128 });

const timeOf = (text: string | undefined) => (text === undefined ? undefined : Date.parse(text));

/** GET /api/v2/admin/events */
export const listAdminEvents = listHandler(
  {
    operationId: 'listAdminEvents',
    summary: 'The audit trail: who changed what, oldest first',
    description:
      'Each record has the state before and after the change, and the hash of the record before it; `copse audit verify` checks the chain. `descending=true` starts with the latest change.',
    tags: ['admin'],
    query: Type.Object(
      {
        user: Type.Optional({ ...Text, description: 'Id or name of the user.' }),
        type: Type.Optional(
          Type.Array(Text, { maxItems: 20, description: 'Types of resources, such as `settings`.' }),
        ),
        resourceID: Type.Optional(Type.Array(Text, { maxItems: 100, description: 'Ids of resources.' })),
        since: Type.Optional({ ...Timestamp, description: 'RFC 3339. Changes at this time or later.' }),
        until: Type.Optional({ ...Timestamp, description: 'RFC 3339. Changes before this time.' }),
      },
      { additionalProperties: false },
    ),
    responses: {
      200: { description: 'A page of records.', schema: Type.Array(AuditEvent), headers: ['Link'] },
    },
  },
  {
    orders: ['sequence'],
    args: ({ query, context }) => ({
      caller: callerOf(context),
      filter: {
        user: query.user,
        types: query.type,
        resourceIds: query.resourceID,
        since: timeOf(query.since),
        until: timeOf(query.until),
      },
    }),
    list: (connector, { caller, filter }, page) => connector.audit.list(caller, filter, page),
  },
);
