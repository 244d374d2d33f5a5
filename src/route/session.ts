import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Session, userAgentFrom } from '../model/session.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';
import { noSessionCookie, sessionCookie } from './session-cookie.js';

const userParams = Type.Object({ userID: Uuid }, { additionalProperties: false });
const sessionParams = Type.Object({ userID: Uuid, sessionID: Uuid }, { additionalProperties: false });

/** POST /api/v2/signin. Path: InfluxDB's; its response has no body. */
export const signIn = (publicUrl: () => string) =>
  defineHandler(
    {
      operationId: 'signIn',
      summary: 'Begin a session of a browser with an API key',
      description:
        'The credential is an API key, as everywhere, or the name of the user and the API key as `Authorization: Basic`, which is accepted here only. The response sets a cookie, with which the browser authenticates its further requests; a cookie in this request is ignored. Requests with the cookie that change something must come from a page of the same origin: `Sec-Fetch-Site` or `Origin` must say so.',
      tags: ['users'],
      session: 'begins',
      secret: true,
      headers: Type.Object({
        'User-Agent': Type.Optional(
          Type.String({
            description: 'Shown in the list of the user’s sessions.',
            examples: ['Mozilla/5.0'],
          }),
        ),
      }),
      responses: { 200: { description: 'The session.', schema: Session, headers: ['Set-Cookie'] } },
      errors: ['forbidden', 'switched_off'],
    },
    {
      parse: ({ headers, context }) => ({
        caller: callerOf(context),
        userAgent: userAgentFrom(String(headers['user-agent'] ?? '')),
      }),
      execute: async (connector, { caller, userAgent }) => {
        const { session, secret, maxAge } = await connector.sessions.begin(caller, userAgent);
        const setCookie = sessionCookie(publicUrl(), secret, maxAge);
        return { result: session, metadata: { setCookie, cacheControl: 'no-store' } };
      },
    },
  );

/** POST /api/v2/signout */
export const signOut = (publicUrl: () => string) =>
  defineHandler(
    {
      operationId: 'signOut',
      summary: 'End the session that the request belongs to',
      description: 'The cookie must be the credential of the request.',
      tags: ['users'],
      session: 'ends',
      secret: true,
      responses: { 204: { description: 'The session has ended.', headers: ['Set-Cookie'] } },
      errors: ['unprocessable'],
    },
    {
      parse: ({ context }) => callerOf(context),
      execute: async (connector, caller) => {
        await connector.sessions.endOwn(caller);
        return { metadata: { setCookie: noSessionCookie(publicUrl()), cacheControl: 'no-store' } };
      },
    },
  );

/** GET /api/v2/users/{userID}/sessions */
export const listSessions = listHandler(
  {
    operationId: 'listSessions',
    summary: 'The sessions of a user, oldest first',
    tags: ['users'],
    params: userParams,
    responses: {
      200: { description: 'A page of sessions.', schema: Type.Array(Session), headers: ['Link'] },
    },
  },
  {
    args: ({ params, context }) => ({ caller: callerOf(context), userId: params.userID }),
    list: (connector, { caller, userId }, page) => connector.sessions.list(caller, userId, page),
  },
);

/** DELETE /api/v2/users/{userID}/sessions/{sessionID} */
export const endSession = defineHandler(
  {
    operationId: 'endSession',
    summary: 'End a session of a user',
    description: 'The next request that belongs to the session is refused. Its event streams end.',
    tags: ['users'],
    params: sessionParams,
    responses: { 204: { description: 'The session has ended.' } },
    errors: ['conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, userID, sessionID }) => {
      await connector.sessions.end(caller, userID, sessionID);
      return {};
    },
  },
);
