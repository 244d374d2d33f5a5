import { Type } from 'typebox';
import { taskAddress } from '../data/task.js';
import { Instance, InstanceCreate } from '../model/instance.js';
import { InstancePatch, InstanceUpdate } from '../model/instance-update.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import { instancePage, instanceParams } from './instance-access.js';
import { instanceFilterOf, instanceFilters } from './instance-filter.js';
import { listHandler } from './list-handler.js';
import { mustHaveFound } from './pipeline/context.js';
import type { RouteRequest } from './pipeline/handler.js';
import { JsonText } from './pipeline/response.js';
import { defineHandler } from './route.js';
import { taskAnswers, type TaskAnswers, taskHandler } from './task-handler.js';

/** GET /api/v2/instances */
export const listInstances = listHandler(
  {
    operationId: 'listInstances',
    summary: 'Instances, oldest first',
    description:
      'Several values of one parameter are alternatives (except tags and labels, which must all be present); all parameters must match. `creationTime` is the order of ids. In the order of `modifiedTime`, which is `creationTime` for an instance that was never changed, a walk through the pages may miss or repeat what is changed meanwhile.',
    tags: ['instances'],
    query: instanceFilters,
    responses: instancePage,
  },
  {
    orders: ['id', 'name', 'creationTime', 'modifiedTime'],
    args: ({ query, context }) => ({ caller: callerOf(context), filter: instanceFilterOf(query) }),
    list: (connector, { caller, filter }, page) => connector.instances.list(caller, filter, page),
    count: (connector, { caller, filter }) => connector.instances.count(caller, filter),
  },
);

/** The instance after a change; for a client that waited, after the task. */
const withInstance = (
  responses: TaskAnswers['responses'],
  accepted: TaskAnswers['accepted'],
): TaskAnswers => ({
  responses,
  accepted,
  waited: async (connector, caller, change) =>
    accepted({ ...change, ...(await connector.instances.text(caller, change.id)) }),
});

const created = withInstance(
  {
    201: {
      description: 'The instance; its machine does not exist yet, unless the client waited for it.',
      schema: Instance,
      headers: ['Location', 'ETag'],
    },
  },
  ({ id, text = '', revision = 1 }) => ({
    result: new JsonText(text),
    metadata: { status: 201, location: `/api/v2/instances/${id}`, revision },
  }),
);

/** POST /api/v2/instances */
export const createInstance = taskHandler(
  {
    operationId: 'createInstance',
    summary: 'Create an instance',
    description:
      'Responds at once; `status.taskId` names the task that creates the machine. Organization and project may be omitted by a caller who is a member of exactly one project, and `regionId` may be given instead of `networkId`.',
    tags: ['instances'],
    body: InstanceCreate,
    plans: 'only',
    example: {
      metadata: { name: 'hello', tags: [{ name: 'purpose', value: 'first-steps' }] },
      spec: { regionId: exampleIds.regionID, flavorId: exampleIds.flavorID, imageId: exampleIds.imageID },
    },
    errors: [
      'invalid_reference',
      'not_found',
      'name_taken',
      'unprocessable',
      'forbidden',
      'quota_exceeded',
      'not_implemented',
      'switched_off',
      'being_deleted',
      'conflict',
    ],
  },
  {
    answers: created,
    parse: ({ body }) => body,
    accept: (connector, caller, body) => connector.instances.create(caller, body),
  },
);

/** GET /api/v2/instances/{instanceID} */
export const getInstance = defineHandler(
  {
    operationId: 'getInstance',
    summary: 'One instance',
    tags: ['instances'],
    params: instanceParams,
    responses: { 200: { description: 'The instance.', schema: Instance, headers: ['ETag'] } },
  },
  {
    parse: ({ context }) => mustHaveFound(context),
    execute: (_connector, { text, revision }) => ({ result: new JsonText(text), metadata: { revision } }),
  },
);

const changed = withInstance(
  {
    202: {
      description: 'The instance with its new desired state; Location names the task, if one is needed.',
      schema: Instance,
      headers: ['Location', 'Retry-After', 'ETag'],
    },
  },
  ({ taskId, text = '', revision = 1 }) => ({
    result: new JsonText(text),
    metadata: {
      status: 202,
      revision,
      ...(taskId !== undefined && { location: taskAddress(taskId), retryAfter: 1 }),
    },
  }),
);

/** Shared declarations of PUT and PATCH. */
const changing = {
  tags: ['instances'],
  plans: 'confirmed',
  params: instanceParams,
  query: Type.Object(
    {
      allowReplace: Type.Optional(Type.Boolean({ description: 'Allow a change that wipes the machine.' })),
    },
    { additionalProperties: false },
  ),
  errors: [
    'invalid_reference',
    'replace_required',
    'unprocessable',
    'quota_exceeded',
    'instance_busy',
    'being_deleted',
    'conflict',
    'precondition_failed',
    'plan_required',
    'not_implemented',
  ],
} as const;

const changeOf = <B>({ params, query, body }: Omit<RouteRequest<typeof changing>, 'body'> & { body: B }) => ({
  id: params.instanceID,
  body,
  options: { allowReplace: query.allowReplace ?? false },
});

const effects =
  'A flavor whose disk is not smaller is given to the machine in place: its disk grows and keeps its content, and a running guest gets the rest when it is next started or rebooted. A new image, or a smaller disk, deletes the machine with its disk and creates a new one under the same id, which is off if the instance was; this requires `allowReplace=true`. New user data takes effect when the machine is next created. A repeat while the machine is being replaced returns the same task. Read-only members may be included as a GET returned them, now or earlier; any other value is refused with 422. A change that changes nothing writes nothing.';

/** PUT /api/v2/instances/{instanceID} */
export const updateInstance = taskHandler(
  {
    ...changing,
    operationId: 'updateInstance',
    summary: 'Replace the writable members of an instance',
    description: `Omitted members are cleared, except \`userData\`, which cannot be read back and is kept. ${effects}`,
    body: InstanceUpdate,
    example: {
      metadata: { name: 'example', description: 'The machine of the examples' },
      spec: { flavorId: exampleIds.flavorID, imageId: exampleIds.imageID },
    },
  },
  {
    answers: changed,
    parse: changeOf<InstanceUpdate>,
    accept: (connector, caller, { id, body, options }) =>
      connector.instances.update(caller, id, body, options),
  },
);

/** PATCH /api/v2/instances/{instanceID} */
export const patchInstance = taskHandler(
  {
    ...changing,
    operationId: 'patchInstance',
    summary: 'Change some writable members of an instance',
    description: `A JSON merge patch (RFC 7396): omitted members stay, \`null\` removes a member, an array is replaced as a whole. ${effects}`,
    body: InstancePatch,
    example: { metadata: { description: 'The machine of the examples', tags: null } },
  },
  {
    answers: changed,
    parse: changeOf<InstancePatch>,
    accept: (connector, caller, { id, body, options }) =>
      connector.instances.patch(caller, id, body, options),
  },
);

/** DELETE /api/v2/instances/{instanceID} */
export const deleteInstance = taskHandler(
  {
    operationId: 'deleteInstance',
    summary: 'Delete an instance, its machine and its disk',
    description:
      'Tasks in progress on the instance are aborted. A repeat while the deletion is running changes nothing. If the site keeps a trash (setting `instances.trash`), the machine is only stopped, and the instance can be restored until `status.trashedUntil`; with `purge=true` it is removed at once, also from the trash.',
    tags: ['instances'],
    params: instanceParams,
    query: Type.Object(
      {
        purge: Type.Optional(
          Type.Boolean({ default: false, description: 'Remove the instance at once, without the trash.' }),
        ),
      },
      { additionalProperties: false },
    ),
    plans: 'confirmed',
    errors: ['precondition_failed', 'plan_required', 'deletion_protected', 'conflict'],
  },
  {
    answers: taskAnswers('The deletion is in progress.'),
    parse: ({ params, query }) => ({ id: params.instanceID, purge: query.purge ?? false }),
    accept: (connector, caller, { id, purge }) => connector.instances.delete(caller, id, { purge }),
  },
);
