import { Type } from 'typebox';
import { ApiKey, ApiKeyCreate, ApiKeyRotation, NewApiKey } from '../model/api-key.js';
import { Uuid } from '../model/common.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';

const userParams = Type.Object({ userID: Uuid }, { additionalProperties: false });
const keyParams = Type.Object({ userID: Uuid, keyID: Uuid }, { additionalProperties: false });

/** GET /api/v2/users/{userID}/apikeys */
export const listApiKeys = listHandler(
  {
    operationId: 'listApiKeys',
    summary: 'The API keys of a user, oldest first',
    tags: ['users'],
    params: userParams,
    responses: { 200: { description: 'A page of keys.', schema: Type.Array(ApiKey), headers: ['Link'] } },
  },
  {
    args: ({ params, context }) => ({ caller: callerOf(context), userId: params.userID }),
    list: (connector, { caller, userId }, page) => connector.apiKeys.list(caller, userId, page),
  },
);

/** POST /api/v2/users/{userID}/apikeys. Path and answer: Evergreen's and InfluxDB's, which show a key once. */
export const createApiKey = defineHandler(
  {
    operationId: 'createApiKey',
    summary: 'Create an API key for a user',
    description:
      '`key` is shown in this response only. An Idempotency-Key is ignored, because the stored response would contain the key; a repeat with the same name is refused with 409.',
    tags: ['users'],
    params: userParams,
    body: ApiKeyCreate,
    example: { metadata: { name: 'example', expiry: '2035-01-31T12:00:00Z' } },
    secret: true,
    responses: { 201: { description: 'The key.', schema: NewApiKey, headers: ['Location'] } },
    errors: ['name_taken', 'unprocessable', 'invalid_reference'],
  },
  {
    parse: ({ params, body, context }) => ({ caller: callerOf(context), userId: params.userID, body }),
    execute: async (connector, { caller, userId, body }) => {
      const made = await connector.apiKeys.create(caller, userId, body);
      const location = `/api/v2/users/${userId}/apikeys/${made.metadata.id}`;
      return { result: made, metadata: { status: 201, location, cacheControl: 'no-store' } };
    },
  },
);

/** GET /api/v2/users/{userID}/apikeys/{keyID} */
export const getApiKey = defineHandler(
  {
    operationId: 'getApiKey',
    summary: 'One API key of a user, without the key itself',
    tags: ['users'],
    params: keyParams,
    responses: { 200: { description: 'The key.', schema: ApiKey } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, userID, keyID }) => {
      const { key } = await connector.apiKeys.get(caller, userID, keyID);
      return { result: key };
    },
  },
);

/** POST /api/v2/users/{userID}/apikeys/{keyID}/rotate */
export const rotateApiKey = defineHandler(
  {
    operationId: 'rotateApiKey',
    summary: 'Replace the secret of an API key',
    description:
      'Name, expiry and limits stay. `key` is shown in this response only; an Idempotency-Key is ignored. The former secret remains valid for the overlap.',
    tags: ['users'],
    params: keyParams,
    body: ApiKeyRotation,
    example: { overlap: 3600 },
    secret: true,
    responses: {
      201: { description: 'The key with its new secret.', schema: NewApiKey, headers: ['Location'] },
    },
    errors: ['conflict', 'precondition_failed', 'unprocessable'],
  },
  {
    parse: ({ params, body, context }) => ({ caller: callerOf(context), ...params, body }),
    execute: async (connector, { caller, userID, keyID, body }) => {
      const made = await connector.apiKeys.rotate(caller, userID, keyID, body);
      const location = `/api/v2/users/${userID}/apikeys/${keyID}`;
      return { result: made, metadata: { status: 201, location, cacheControl: 'no-store' } };
    },
  },
);

/** DELETE /api/v2/users/{userID}/apikeys/{keyID} */
export const deleteApiKey = defineHandler(
  {
    operationId: 'deleteApiKey',
    summary: 'Revoke an API key',
    description: 'The next request with this key is refused, and event streams opened with it end.',
    tags: ['users'],
    params: keyParams,
    responses: { 204: { description: 'The key is revoked.' } },
    errors: ['conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, userID, keyID }) => {
      await connector.apiKeys.delete(caller, userID, keyID);
      return {};
    },
  },
);
