/** The audit trail: who changed what, before and after. Model: Evergreen's admin events, chained by hash. */
import { type Static, Type } from 'typebox';
import { Timestamp, Uuid } from './common.js';

/** The stored form, under its id. */
export interface AuditRecord {
  /** 1 for the first record of the site, then without gaps. */
  sequence: number;
  time: string;
  /** The same for all records of one request. */
  changeId: string;
  requestId: string;
  user: { id: string; name: string };
  action: string;
  resource: { type: string; id: string };
  before: unknown;
  after: unknown;
  /** The record whose change this one has undone. */
  reverts?: string;
  previousHash: string;
  hash: string;
}

const state = (description: string) =>
  Type.Unknown({ description: `${description} Secrets are replaced by "[redacted]".`, examples: [null] });

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$', examples: ['5e'.repeat(32)] });

export const AuditEvent = Type.Object(
  {
    id: Uuid,
    sequence: Type.Integer({ minimum: 1, description: 'Number of the record: 1, 2, 3, … without gaps.' }),
    time: Timestamp,
    changeId: { ...Uuid, description: 'The same for all changes of one request.' },
    requestId: Type.String({ description: 'The X-Request-Id of the request, as in the log.' }),
    user: Type.Object(
      { id: Type.String(), name: Type.String() },
      { title: 'AuditUser', additionalProperties: false },
    ),
    action: Type.String({ description: 'What was done, such as `settings.update`.' }),
    resource: Type.Object(
      { type: Type.String({ description: 'Such as `settings`.' }), id: Type.String() },
      { title: 'AuditResource', additionalProperties: false },
    ),
    before: state('The state before the change; null if it did not exist.'),
    after: state('The state after the change; null if it no longer exists.'),
    reverts: Type.Optional({ ...Uuid, description: 'The record whose change was undone.' }),
    previousHash: { ...Hash, description: 'Hash of the previous record; zeros for the first one.' },
    hash: { ...Hash, description: 'SHA-256 of the record, including `previousHash`.' },
  },
  { title: 'AuditEvent', additionalProperties: false },
);
export type AuditEvent = Static<typeof AuditEvent>;

/** The public form. */
export function presentAuditRecord(id: string, record: AuditRecord): AuditEvent {
  return { id, ...record };
}

const secretName =
  /^(key|hash|userData|privateKey)$|(secret|password|passphrase|token|apiKey|authorization)s?$/i;

/** In place of a value that may be a secret. */
const mark = '[redacted]';

/** Whether a value of a record, or a part of it, was replaced. */
export function isRedacted(value: unknown): boolean {
  return JSON.stringify(value ?? null).includes(`"${mark}"`);
}

/** A copy as JSON, with the values of members that may be secrets replaced. Undefined becomes null. */
export function redacted(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value)) return value.map(redacted);
  if (typeof value !== 'object') return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(
    members.map(([name, member]) => [name, secretName.test(name) ? mark : redacted(member)]),
  );
}
