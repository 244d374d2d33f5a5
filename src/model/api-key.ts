/** API keys: named, expiring, revocable; shown once, and stored only as a hash. */
import { Type, type Static } from 'typebox';
import { defined, Name, Timestamp, Uuid } from './common.js';

export interface ApiKeyRecord {
  userId: string;
  name: string;
  /** HMAC-SHA-256 of the key under the store's secret, hex. */
  hash: string;
  /** RFC 3339; absent: it does not expire. */
  expiry?: string;
  creationTime: string;
  createdBy?: string;
}

const Expiry = {
  ...Timestamp,
  description: 'RFC 3339. From then on the key is refused. Without it the key does not expire.',
};

export const ApiKeyCreate = Type.Object(
  {
    metadata: Type.Object(
      { name: Name, expiry: Type.Optional(Expiry) },
      { title: 'ApiKeyCreateMetadata', additionalProperties: false },
    ),
  },
  { title: 'ApiKeyCreate', additionalProperties: false },
);
export type ApiKeyCreate = Static<typeof ApiKeyCreate>;

const metadata = Type.Object(
  {
    id: Uuid,
    name: Type.String(),
    userId: Uuid,
    creationTime: Timestamp,
    createdBy: Type.Optional(Type.String()),
    expiry: Type.Optional(Expiry),
  },
  { title: 'ApiKeyMetadata', additionalProperties: false },
);

export const ApiKey = Type.Object({ metadata }, { title: 'ApiKey', additionalProperties: false });
export type ApiKey = Static<typeof ApiKey>;

export const NewApiKey = Type.Object(
  { metadata, key: Type.String({ description: 'The key itself, shown only here.' }) },
  { title: 'NewApiKey', additionalProperties: false },
);
export type NewApiKey = Static<typeof NewApiKey>;

export function presentApiKey(id: string, key: ApiKeyRecord): ApiKey {
  const { name, userId, creationTime, createdBy, expiry } = key;
  return { metadata: defined({ id, name, userId, creationTime, createdBy, expiry }) };
}
