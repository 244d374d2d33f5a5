import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { CurrentUser, presentUser, User, UserCreate, UserPatch } from '../model/user.js';
import { changed, createdIn } from './answer.js';
import { callerOf } from './caller.js';
import { instancePage } from './instance-access.js';
import { labelFilter } from './label.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';

const userParams = Type.Object({ userID: Uuid }, { additionalProperties: false });

/** GET /api/v2/users */
export const listUsers = listHandler(
  {
    operationId: 'listUsers',
    summary: 'All users, oldest first',
    tags: ['users'],
    query: Type.Object(labelFilter, { additionalProperties: false }),
    responses: { 200: { description: 'A page of users.', schema: Type.Array(User), headers: ['Link'] } },
  },
  {
    args: ({ query, context }) => ({ caller: callerOf(context), labels: query.labelID }),
    list: (connector, { caller, labels }, page) => connector.users.list(caller, page, labels),
  },
);

const created = createdIn('/api/v2/users');

/** POST /api/v2/users */
export const createUser = defineHandler(
  {
    operationId: 'createUser',
    summary: 'Create a user',
    description: 'The user has no credential yet: create an API key for them, and add them to a project.',
    tags: ['users'],
    body: UserCreate,
    example: { metadata: { name: 'example', description: 'The user of the examples' } },
    responses: { 201: { description: 'The user.', schema: User, headers: ['Location', 'ETag'] } },
    errors: ['name_taken', 'unprocessable'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, created), body }),
    execute: async (connector, { caller, body }) => created(await connector.users.create(caller, body)),
  },
);

/** GET /api/v2/users/{userID} */
export const getUser = defineHandler(
  {
    operationId: 'getUser',
    summary: 'One user',
    tags: ['users'],
    params: userParams,
    responses: { 200: { description: 'The user.', schema: User, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.userID }),
    execute: async (connector, { caller, id }) => {
      const { value, revision } = await connector.users.get(caller, id);
      return { result: presentUser(id, value), metadata: { revision } };
    },
  },
);

/** PATCH /api/v2/users/{userID} */
export const patchUser = defineHandler(
  {
    operationId: 'patchUser',
    summary: 'Change some members of a user',
    description:
      'A JSON merge patch (RFC 7396). The credentials of a user who is not active are refused from the next request on. A user is never removed, because records name them.',
    tags: ['users'],
    params: userParams,
    body: UserPatch,
    example: { metadata: { description: 'Is on leave' }, spec: { active: false } },
    responses: { 200: { description: 'The user.', schema: User, headers: ['ETag'] } },
    errors: ['unprocessable', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, body, context }) => ({
      caller: callerOf(context, changed),
      id: params.userID,
      body,
    }),
    execute: async (connector, { caller, id, body }) =>
      changed(await connector.users.patch(caller, id, body)),
  },
);

/** GET /api/v2/user */
export const getCurrentUser = defineHandler(
  {
    operationId: 'getCurrentUser',
    summary: 'The caller',
    tags: ['users'],
    responses: { 200: { description: 'The user.', schema: CurrentUser } },
  },
  {
    parse: ({ context }) => callerOf(context),
    execute: async (connector, caller) => ({
      result: await connector.users.current(caller, await connector.members.memberships(caller)),
    }),
  },
);

/** GET /api/v2/users/{userID}/instances. Model: Evergreen's hosts of a user. */
export const listUserInstances = listHandler(
  {
    operationId: 'listUserInstances',
    summary: 'Instances that the user has created, oldest first',
    description: 'Only instances in projects that the caller may see.',
    tags: ['users'],
    params: userParams,
    query: Type.Object(labelFilter, { additionalProperties: false }),
    responses: instancePage,
  },
  {
    orders: ['id', 'name'],
    args: ({ params, query, context }) => ({
      caller: callerOf(context),
      id: params.userID,
      labels: query.labelID,
    }),
    list: async (connector, { caller, id, labels }, page) => {
      const { value } = await connector.users.get(caller, id);
      return connector.instances.list(caller, { creators: [value.name], labels }, page);
    },
  },
);
