/** API keys: named, expiring, revocable; shown once, and stored only as a hash. */
import { Type, type Static } from 'typebox';
import { defined, Name, Timestamp, Uuid } from './common.js';
import { ApiKeySpec } from './key-limits.js';

export interface ApiKeyRecord {
  userId: string;
  name: string;
  /** HMAC-SHA-256 of the key under the store's secret, hex. */
  hash: string;
  /** RFC 3339; absent: it does not expire. */
  expiry?: string;
  /** Absent: it allows whatever its user may do. */
  spec?: ApiKeySpec;
  /** How often its secret has been replaced; absent: never. */
  generation?: number;
  rotationTime?: string;
  creationTime: string;
  createdBy?: string;
}

const Expiry = {
  ...Timestamp,
  description: 'RFC 3339. The key is refused from this time on. If omitted, it does not expire.',
};

export const ApiKeyCreate = Type.Object(
  {
    metadata: Type.Object(
      { name: Name, expiry: Type.Optional(Expiry) },
      { title: 'ApiKeyCreateMetadata', additionalProperties: false },
    ),
    spec: Type.Optional(ApiKeySpec),
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

const ApiKeyStatus = Type.Object(
  {
    lastUsedTime: Type.Optional({
      ...Timestamp,
      description: 'When the key was last used, to within a minute or so; absent: never.',
    }),
    rotationTime: Type.Optional({ ...Timestamp, description: 'When its secret was last replaced.' }),
  },
  { title: 'ApiKeyStatus', additionalProperties: false },
);

const shown = { metadata, spec: Type.Optional(ApiKeySpec), status: Type.Optional(ApiKeyStatus) };

export const ApiKey = Type.Object(shown, { title: 'ApiKey', additionalProperties: false });
export type ApiKey = Static<typeof ApiKey>;

export const NewApiKey = Type.Object(
  { ...shown, key: Type.String({ description: 'The key itself, shown only here.' }) },
  { title: 'NewApiKey', additionalProperties: false },
);
export type NewApiKey = Static<typeof NewApiKey>;

/** How a key is rotated. */
export const ApiKeyRotation = Type.Object(
  {
    overlap: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 30 * 24 * 3600,
        description:
          'Seconds for which the former secret, and those before it that are still valid, remain valid. Default: 0.',
      }),
    ),
  },
  { title: 'ApiKeyRotation', additionalProperties: false },
);
export type ApiKeyRotation = Static<typeof ApiKeyRotation>;

export function presentApiKey(id: string, key: ApiKeyRecord): ApiKey {
  const { name, userId, creationTime, createdBy, expiry, spec, rotationTime } = key;
  const status = rotationTime === undefined ? undefined : { rotationTime };
  return defined({
    metadata: defined({ id, name, userId, creationTime, createdBy, expiry }),
    spec,
    status,
  });
}
