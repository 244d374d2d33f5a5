/**
 * Subscriptions: what happens is told to a receiver outside. Model: Evergreen's subscriptions, with owner, selectors and
 * subscriber; the deliveries are Standard Webhooks.
 */
import { closest } from 'fastest-levenshtein';
import { Type, type Static } from 'typebox';
import { defined, Timestamp, timestamp, Uuid } from './common.js';
import { EventType } from './event.js';

const closed = { additionalProperties: false };

export const OwnerType = Type.Union([Type.Literal('user'), Type.Literal('project')], {
  description: 'Whose subscription it is: of a user, or of a project.',
});
export type OwnerType = Static<typeof OwnerType>;

const Selector = Type.Object(
  {
    type: Type.Union([
      Type.Literal('resource'),
      Type.Literal('type'),
      Type.Literal('tag'),
      Type.Literal('outcome'),
    ]),
    data: Type.String({ minLength: 1, maxLength: 400, examples: ['instance'] }),
  },
  {
    title: 'SubscriptionSelector',
    ...closed,
    description:
      '`resource`: `instance`, `task`, `audit`, or the id of a resource. `type`: an event type such as `instance.created`, or a prefix such as `task.*`. `tag`: `name` or `name=value` of an instance. `outcome`: `succeeded`, `failed` or `cancelled`, of a task that has ended.',
  },
);
export type Selector = Static<typeof Selector>;

const url = Type.String({
  minLength: 1,
  maxLength: 2048,
  description: 'Where events are sent to: an https URL without user name, password and fragment.',
  examples: ['https://example.com/hooks'],
});

/** Whether the bytes of a secret are as many as they should be, in base64 without slips. */
export function isWebhookSecret(text: string): boolean {
  const encoded = text.slice('whsec_'.length);
  const bytes = Buffer.from(encoded, 'base64');
  return bytes.length >= 24 && bytes.length <= 64 && bytes.toString('base64') === encoded;
}

const secretForm = '`whsec_` and 24 to 64 random bytes in base64, which sign the deliveries.';
const secret = Type.String({
  pattern: '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$',
  description: secretForm,
  examples: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
});

const selectors = Type.Array(Selector, {
  maxItems: 50,
  description: 'Those of one type are alternatives; every type that occurs must match. None: every event.',
});

export const SubscriptionWrite = Type.Object(
  {
    id: Type.Optional({
      ...Uuid,
      description: 'Of the subscription to update; a new one is created with it.',
    }),
    ownerType: Type.Optional(OwnerType),
    owner: Type.Optional({ ...Uuid, description: 'Id of the user or project. Default: the caller.' }),
    selectors: Type.Optional(selectors),
    subscriber: Type.Object(
      {
        type: Type.Literal('webhook'),
        url,
        secret: Type.Optional({
          ...secret,
          description: `${secretForm} Omitted: one is made, or the former one stays.`,
        }),
        overlap: Type.Optional(
          Type.Integer({
            minimum: 0,
            maximum: 30 * 24 * 3600,
            description:
              'Of a new secret that replaces another: seconds for which deliveries are signed with the former one as well. Default: 0.',
          }),
        ),
      },
      { title: 'SubscriberWrite', ...closed },
    ),
  },
  { title: 'SubscriptionWrite', ...closed },
);
export type SubscriptionWrite = Static<typeof SubscriptionWrite>;

const Lost = Type.Object(
  {
    dropped: Type.Integer({
      description: 'Events that were not kept, because too many deliveries were waiting.',
    }),
    missed: Type.Integer({
      description:
        'Changes of the whole site that left the log before they were looked at: any of them may have been selected.',
    }),
    lastTime: Timestamp,
  },
  {
    title: 'LostEvents',
    ...closed,
    description: 'Events that will never be told, since the subscription was last written. Absent: none.',
  },
);
export type Lost = Static<typeof Lost>;

const State = Type.Union([Type.Literal('active'), Type.Literal('disabled')]);

const members = {
  id: Uuid,
  ownerType: OwnerType,
  owner: Uuid,
  selectors,
  status: Type.Object(
    {
      state: State,
      reason: Type.Optional(Type.String({ description: 'Why it was disabled.' })),
      since: Type.Optional({ ...Timestamp, description: 'When it was disabled.' }),
      lost: Type.Optional(Lost),
    },
    { title: 'SubscriptionStatus', ...closed },
  ),
  creationTime: Timestamp,
  createdBy: Type.String(),
  modifiedTime: Type.Optional(Timestamp),
  modifiedBy: Type.Optional(Type.String()),
};

export const Subscription = Type.Object(
  {
    ...members,
    subscriber: Type.Object({ type: Type.Literal('webhook'), url }, { title: 'Subscriber', ...closed }),
  },
  { title: 'Subscription', ...closed },
);
export type Subscription = Static<typeof Subscription>;

/** The answer to a write, the only one that shows a secret: one that was made for it. */
export const WrittenSubscription = Type.Object(
  {
    ...members,
    subscriber: Type.Object(
      { type: Type.Literal('webhook'), url, secret: Type.Optional(secret) },
      { title: 'WrittenSubscriber', ...closed },
    ),
  },
  { title: 'WrittenSubscription', ...closed },
);
export type WrittenSubscription = Static<typeof WrittenSubscription>;

export interface SubscriptionRecord {
  ownerType: OwnerType;
  /** Id of the user or project. */
  owner: string;
  selectors: Selector[];
  url: string;
  secret: string;
  /** Present while it is disabled. */
  disabled?: { reason: string; since: string };
  /** Secrets of before that still sign, too, until a time (RFC 3339). */
  formerSecrets?: { secret: string; until: string }[];
  lost?: Lost;
  creationTime: string;
  createdBy: string;
  modifiedTime?: string;
  modifiedBy?: string;
}

export function presentSubscription(id: string, record: SubscriptionRecord): Subscription {
  const { ownerType, owner, selectors: wanted, disabled, creationTime, createdBy } = record;
  const { modifiedTime, modifiedBy, lost } = record;
  const state =
    disabled === undefined ? { state: 'active' as const } : { state: 'disabled' as const, ...disabled };
  return {
    id,
    ownerType,
    owner,
    selectors: wanted,
    subscriber: { type: 'webhook', url: record.url },
    status: defined({ ...state, lost }),
    creationTime,
    createdBy,
    ...defined({ modifiedTime, modifiedBy }),
  };
}

/** The secrets that sign a delivery now, the newest first. */
export function signingSecrets(
  { secret: newest, formerSecrets = [] }: SubscriptionRecord,
  now: number,
): string[] {
  const valid = formerSecrets.filter(({ until }) => Date.parse(until) > now);
  return [newest, ...valid.map((former) => former.secret)];
}

/** Former secrets that sign at the same time. */
const formerLimit = 5;

/** Former secrets that still sign, after an update that may bring a new one. */
export function formersAfter(
  { secret, formerSecrets = [] }: SubscriptionRecord,
  { subscriber }: SubscriptionWrite,
): Pick<SubscriptionRecord, 'formerSecrets'> {
  const now = Date.now();
  const valid = formerSecrets.filter(({ until }) => Date.parse(until) > now);
  if (subscriber.secret === undefined || subscriber.secret === secret)
    return valid.length === 0 ? {} : { formerSecrets: valid };
  const end = now + (subscriber.overlap ?? 0) * 1000;
  const formers = [{ secret, until: timestamp(new Date(end)) }, ...valid]
    .filter((one) => one.secret !== subscriber.secret && end > now)
    .map((one) => ({ ...one, until: Date.parse(one.until) > end ? timestamp(new Date(end)) : one.until }));
  return formers.length === 0 ? {} : { formerSecrets: formers.slice(0, formerLimit) };
}

/** Adds to what was lost. */
export function withLost(
  record: SubscriptionRecord,
  more: { dropped?: number; missed?: number },
  time: string,
): SubscriptionRecord {
  const { dropped = 0, missed = 0 } = record.lost ?? {};
  return {
    ...record,
    lost: { dropped: dropped + (more.dropped ?? 0), missed: missed + (more.missed ?? 0), lastTime: time },
  };
}

/** An event, as far as selectors ask. */
export interface Selectable {
  subject: 'instance' | 'task' | 'audit';
  type: string;
  resourceId: string;
  /** Of the instance: `name=value`. */
  tags: readonly string[];
  /** Of a task that has ended. */
  outcome?: string | undefined;
}

/** Whether the selectors choose the event. The audit trail is told only to those who name it. */
export function selects(wanted: readonly Selector[], event: Selectable): boolean {
  const types = new Set(wanted.map(({ type }) => type));
  const named = ({ type, data }: Selector) =>
    (type === 'resource' && data === 'audit') || (type === 'type' && data.startsWith('audit.'));
  if (event.subject === 'audit' && !wanted.some(named)) return false;
  return [...types].every((type) => wanted.some((one) => one.type === type && matches(one, event)));
}

function matches({ type, data }: Selector, event: Selectable): boolean {
  switch (type) {
    case 'resource':
      return data === event.subject || data === event.resourceId;
    case 'type':
      return data.endsWith('.*') ? event.type.startsWith(data.slice(0, -1)) : data === event.type;
    case 'tag':
      return event.tags.some((tag) => tag === data || tag.startsWith(`${data}=`));
    case 'outcome':
      return data === event.outcome;
  }
}

const subjects = ['instance', 'task', 'audit'];
export const outcomes: readonly string[] = ['succeeded', 'failed', 'cancelled'];
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const types = (EventType as unknown as { anyOf: { const: string }[] }).anyOf.map((one) => one.const);

/** What is wrong with a selector: one that can never match is a mistake. */
export function selectorFault({ type, data }: Selector): string | undefined {
  const oneOf = (accepted: readonly string[]) =>
    `Expected one of ${accepted.join(', ')}; did you mean ${closest(data, accepted)}?`;
  if (type === 'resource' && !subjects.includes(data) && !uuid.test(data))
    return `Expected one of ${subjects.join(', ')}, or the id of a resource.`;
  if (type === 'outcome' && !outcomes.includes(data)) return oneOf(outcomes);
  if (type !== 'type' || /^audit(\.[a-z_]+)*(\.\*)?$/.test(data)) return undefined;
  return types.includes(data) || data === 'instance.*' || data === 'task.*' ? undefined : oneOf(types);
}

/** The URL in its normal form, or what is wrong with it. */
export function readWebhookUrl(text: string, allowHttp: boolean): { url: URL } | { fault: string } {
  // The parser would remove some of these silently.
  if (/[\s\p{Cc}\p{Zl}\p{Zp}\\<>"{}|^`]/u.test(text))
    return { fault: 'The URL contains a character that a URL may not contain.' };
  if (!URL.canParse(text)) return { fault: 'This is not an absolute URL.' };
  const parsed = new URL(text);
  if (parsed.protocol !== 'https:' && !(allowHttp && parsed.protocol === 'http:'))
    return {
      fault: allowHttp ? 'The URL must begin with https:// or http://.' : 'The URL must begin with https://.',
    };
  if (parsed.username !== '' || parsed.password !== '')
    return { fault: 'The URL must not contain a user name or a password.' };
  if (parsed.hash !== '' || text.includes('#')) return { fault: 'The URL must not have a fragment.' };
  return { url: parsed };
}
