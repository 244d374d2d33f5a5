import { SetupRequest, SetupResult, SetupState } from '../model/setup.js';
import { unauthorized } from './pipeline/authenticator.js';
import { defineHandler } from './route.js';

/** GET /api/v2/setup. Path and answer: InfluxDB's. */
export const getSetup = defineHandler(
  {
    operationId: 'getSetup',
    summary: 'Whether the first superuser can be created over the API',
    tags: ['service'],
    responses: { 200: { description: 'Whether it is allowed.', schema: SetupState } },
  },
  {
    parse: () => undefined,
    execute: async (connector) => ({
      result: { allowed: await connector.onboarding.isAllowed() },
      metadata: { cacheControl: 'no-store' },
    }),
  },
);

/** POST /api/v2/setup */
export const createSetup = defineHandler(
  {
    operationId: 'createSetup',
    summary: 'Create the first superuser',
    description:
      'Only while nobody exists, if `auth.onboarding` is on, with the token that the server has printed at its start as `Authorization: Bearer`. Creates an organization and a project as well. `apiKey.key` is shown in this response only.',
    tags: ['service'],
    body: SetupRequest,
    example: { username: 'ada' },
    secret: true,
    responses: { 201: { description: 'What was created.', schema: SetupResult, headers: ['Location'] } },
    errors: ['unauthorized', 'rate_limited', 'already_exists', 'unprocessable'],
  },
  {
    parse: ({ body, headers, context: { requestId } }) => ({
      body,
      token: /^Bearer +([\x21-\x7e]+) *$/i.exec(String(headers['authorization'] ?? ''))?.[1],
      requestId,
    }),
    execute: async (connector, { body, token, requestId }) => {
      const made = await connector.onboarding.create(body, { token, requestId }, unauthorized);
      const location = `/api/v2/users/${made.user.metadata.id}`;
      return { result: made, metadata: { status: 201, location, cacheControl: 'no-store' } };
    },
  },
);
