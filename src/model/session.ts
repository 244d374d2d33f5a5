/** Sessions of browsers: begun with an API key, recognised by a cookie, ending by themselves. */
import { Type, type Static } from 'typebox';
import { defined, Timestamp, Uuid } from './common.js';

export interface SessionRecord {
  userId: string;
  /** The API key with which it has begun: what the key may not do, the session may not either. */
  keyId: string;
  /** Of the key's secrets, the one that was shown. */
  generation?: number;
  /** HMAC-SHA-256 of the cookie's value under the store's secret, hex. */
  hash: string;
  /** Of the browser, as it says itself. */
  userAgent?: string;
  creationTime: string;
  /** RFC 3339: it ends then at the latest. */
  expiry: string;
  /** RFC 3339: it ends then unless it is used before. */
  idleExpiry: string;
}

export const Session = Type.Object(
  {
    metadata: Type.Object(
      {
        id: Uuid,
        userId: Uuid,
        keyId: {
          ...Uuid,
          description: 'The API key with which the session has begun, and with which it ends.',
        },
        creationTime: Timestamp,
        expiry: { ...Timestamp, description: 'The session ends then at the latest.' },
        userAgent: Type.Optional(Type.String({ description: 'Of the browser, as it says itself.' })),
      },
      { title: 'SessionMetadata', additionalProperties: false },
    ),
    status: Type.Object(
      { idleExpiry: { ...Timestamp, description: 'The session ends then unless it is used before.' } },
      { title: 'SessionStatus', additionalProperties: false },
    ),
  },
  { title: 'Session', additionalProperties: false },
);
export type Session = Static<typeof Session>;

export function presentSession(id: string, session: SessionRecord): Session {
  const { userId, keyId, creationTime, expiry, userAgent, idleExpiry } = session;
  return {
    metadata: defined({ id, userId, keyId, creationTime, expiry, userAgent }),
    status: { idleExpiry },
  };
}

/** When it ends if it is not used any more, in ms since 1970. */
export function endOf({ expiry, idleExpiry }: SessionRecord): number {
  return Math.min(Date.parse(expiry), Date.parse(idleExpiry));
}

/** What a browser says of itself, fit to be shown: printable ASCII, and not too much of it. */
export function userAgentFrom(text: string | undefined): string | undefined {
  const shown = text
    ?.replaceAll(/[^\x20-\x7e]/g, '')
    .slice(0, 200)
    .trim();
  return shown === '' ? undefined : shown;
}
