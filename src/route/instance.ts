import { Type } from 'typebox';
import type { Connector } from '../data/connector.js';
import { ProvisioningStatus, Uuid } from '../model/common.js';
import { Instance, InstanceCreate } from '../model/instance.js';
import { InstancePatch, InstanceUpdate } from '../model/instance-update.js';
import { Task } from '../model/task.js';
import type { Accepted, Caller } from '../data/caller.js';
import { acceptedAnswer, afterChange, answerWhenEnded, callerOf } from './caller.js';
import { instanceParams, memberOnly } from './instance-access.js';
import { listHandler } from './list-handler.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import type { Declaration } from './pipeline/handler.js';
import type { ResponseData } from './pipeline/response.js';
import { JsonText } from './pipeline/response.js';
import type { Route } from './route.js';
import { defineHandler } from './route.js';
import { taskAddress } from '../data/task.js';
import { exampleIds } from './example.js';

/** GET /api/v2/instances */
const list = listHandler(
  {
    operationId: 'listInstances',
    summary: 'Instances, oldest first',
    description:
      'Values of one parameter are alternatives (except tags, which must all be there); different parameters must all hold.',
    tags: ['instances'],
    query: Type.Object(
      {
        organizationID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        regionID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        networkID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        status: Type.Optional(
          Type.Array(ProvisioningStatus, { maxItems: 10, description: 'As `metadata.provisioningStatus`.' }),
        ),
        tag: Type.Optional(
          Type.Array(
            Type.String({ pattern: '^[^=]+=', description: 'name=value; the value may hold further "=".' }),
            { maxItems: 32 },
          ),
        ),
      },
      { additionalProperties: false },
    ),
    responses: {
      200: { description: 'A page of instances.', schema: Type.Array(Instance), headers: ['Link'] },
    },
  },
  {
    orders: ['id', 'name'],
    args: ({ query, context }) => ({
      caller: callerOf(context),
      filter: {
        organizationIds: query.organizationID,
        projectIds: query.projectID,
        regionIds: query.regionID,
        networkIds: query.networkID,
        statuses: query.status,
        tags: query.tag,
      },
    }),
    list: (connector, { caller, filter }, page) => connector.instances.list(caller, filter, page),
  },
);

function created({ id, text = '', revision = 1 }: Accepted): ResponseData {
  return {
    result: new JsonText(text),
    metadata: { status: 201, location: `/api/v2/instances/${id}`, revision },
  };
}

/** POST /api/v2/instances */
const create = defineHandler(
  {
    operationId: 'createInstance',
    summary: 'Create an instance',
    description:
      'Answers at once; `status.taskId` names the task that makes the machine. Organization and project may be left out by a caller who has just one project, and `regionId` may stand in for `networkId`.',
    tags: ['instances'],
    waits: true,
    body: InstanceCreate,
    example: {
      metadata: { name: 'hello', tags: [{ name: 'purpose', value: 'first-steps' }] },
      spec: { regionId: exampleIds.regionID, flavorId: exampleIds.flavorID, imageId: exampleIds.imageID },
    },
    responses: {
      201: {
        description: 'The instance; not yet made, unless the client waited for that.',
        schema: Instance,
        headers: ['Location', 'ETag'],
      },
    },
    errors: ['invalid_reference', 'not_found', 'name_taken', 'unprocessable', 'forbidden', 'not_implemented'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, created), body, wait: context.wait }),
    execute: async (connector, { caller, body, wait }) => {
      const accepted = await connector.instances.create(caller, body);
      if (wait === 0 || accepted.taskId === undefined) return created(accepted);
      const { id, taskId } = accepted;
      const now = await afterChange(caller, async () => {
        await connector.tasks.ended(caller, taskId, wait * 1000);
        return connector.instances.text(caller, id);
      });
      return created({ ...accepted, ...now });
    },
  },
);

/** GET /api/v2/instances/{instanceID} */
const get = defineHandler(
  {
    operationId: 'getInstance',
    summary: 'One instance',
    tags: ['instances'],
    params: instanceParams,
    responses: { 200: { description: 'The instance.', schema: Instance, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({
      caller: callerOf(context),
      id: params.instanceID,
      found: context.found,
    }),
    execute: async (connector, { caller, id, found }) => {
      const { text, revision } = found ?? (await connector.instances.text(caller, id));
      return { result: new JsonText(text), metadata: { revision } };
    },
  },
);

const changeQuery = Type.Object(
  {
    allowReplace: Type.Optional(Type.Boolean({ description: 'Permit a change that wipes the machine.' })),
  },
  { additionalProperties: false },
);

const changeErrors = [
  'invalid_reference',
  'replace_required',
  'unprocessable',
  'instance_busy',
  'being_deleted',
  'conflict',
  'precondition_failed',
  'not_implemented',
] as const;

const changed: Declaration['responses'] = {
  202: {
    description: 'The instance as it is wished now; Location names the task, if one is needed.',
    schema: Instance,
    headers: ['Location', 'Retry-After', 'ETag'],
  },
};

const effects =
  'A new flavor or image deletes the machine with its disk and makes a new one; that needs `allowReplace=true`. New user data takes effect when the machine is next made. A repeat while the machine is being replaced shares the task. What only the server writes may come along as a GET gave it, now or earlier; another value of it is refused with 422. A change of nothing writes nothing.';

/** 202 with the instance; of a client that waited, as it is after the task. */
async function changedAnswer(
  connector: Connector,
  caller: Caller,
  { id, taskId, text = '', revision = 1 }: Accepted,
  wait: number,
): Promise<ResponseData> {
  const waited =
    taskId === undefined || wait === 0
      ? undefined
      : await afterChange(caller, async () => {
          await connector.tasks.ended(caller, taskId, wait * 1000);
          return connector.instances.text(caller, id);
        });
  const now = waited ?? { text, revision };
  const follow = taskId === undefined ? {} : { location: taskAddress(taskId), retryAfter: 1 };
  return { result: new JsonText(now.text), metadata: { status: 202, revision: now.revision, ...follow } };
}

/** PUT /api/v2/instances/{instanceID} */
const update = defineHandler(
  {
    operationId: 'updateInstance',
    summary: 'Replace what may be written of an instance',
    description: `What is left out is cleared, except \`userData\`, which cannot be read back and is kept. ${effects}`,
    tags: ['instances'],
    params: instanceParams,
    query: changeQuery,
    waits: true,
    body: InstanceUpdate,
    example: {
      metadata: { name: 'example', description: 'The machine of the examples' },
      spec: { flavorId: exampleIds.flavorID, imageId: exampleIds.imageID },
    },
    responses: changed,
    errors: changeErrors,
  },
  {
    parse: ({ params, query, body, context }) => ({
      caller: callerOf(context),
      id: params.instanceID,
      body,
      allowReplace: query.allowReplace ?? false,
      wait: context.wait,
    }),
    execute: async (connector, { caller, id, body, allowReplace, wait }) => {
      const accepted = await connector.instances.update(caller, id, body, { allowReplace });
      return changedAnswer(connector, caller, accepted, wait);
    },
  },
);

/** PATCH /api/v2/instances/{instanceID} */
const patch = defineHandler(
  {
    operationId: 'patchInstance',
    summary: 'Change a part of what may be written of an instance',
    description: `A JSON merge patch (RFC 7396): what is left out stays, \`null\` takes away, an array is replaced whole. ${effects}`,
    tags: ['instances'],
    params: instanceParams,
    query: changeQuery,
    waits: true,
    body: InstancePatch,
    example: { metadata: { description: 'The machine of the examples', tags: null } },
    responses: changed,
    errors: changeErrors,
  },
  {
    parse: ({ params, query, body, context }) => ({
      caller: callerOf(context),
      id: params.instanceID,
      body,
      allowReplace: query.allowReplace ?? false,
      wait: context.wait,
    }),
    execute: async (connector, { caller, id, body, allowReplace, wait }) => {
      const accepted = await connector.instances.patch(caller, id, body, { allowReplace });
      return changedAnswer(connector, caller, accepted, wait);
    },
  },
);

/** DELETE /api/v2/instances/{instanceID} */
const remove = defineHandler(
  {
    operationId: 'deleteInstance',
    summary: 'Delete an instance, its machine and its disk',
    description:
      'What is under way for the instance is aborted. Repeating it while the deletion runs changes nothing.',
    tags: ['instances'],
    params: instanceParams,
    waits: true,
    responses: {
      202: { description: 'The deletion is under way.', headers: ['Location', 'Retry-After'] },
      200: {
        description: 'The client waited for the end of the task, which this is.',
        schema: Task,
        headers: ['ETag'],
      },
    },
    errors: ['precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({
      caller: callerOf(context, acceptedAnswer),
      id: params.instanceID,
      wait: context.wait,
    }),
    execute: async (connector, { caller, id, wait }) =>
      answerWhenEnded(connector, caller, await connector.instances.delete(caller, id), wait),
  },
);

export const instanceRoutes: Route[] = [
  {
    route: '/instances',
    version: 2,
    methods: [
      { methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list },
      { methodType: 'POST', authenticator: new RequireUserAuthenticator(), requestHandler: create },
    ],
  },
  {
    route: '/instances/{instanceID}',
    version: 2,
    methods: [
      memberOnly('GET', get),
      memberOnly('PUT', update),
      memberOnly('PATCH', patch),
      memberOnly('DELETE', remove),
    ],
  },
];
