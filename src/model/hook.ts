/**
 * Events that other systems send: GitHub's, so far. A rule turns a queued job of GitHub Actions into an instance that
 * runs it. Model: Evergreen's POST /hooks/github; the form of the events is GitHub's.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false };

/** How instances for jobs are made. Names or ids where things are named. */
export interface HookRule {
  name: string;
  /** A job is taken if it asks for no other labels than these. */
  labels: string[];
  /** `owner/name`, or `owner/*`; empty or absent: all that know the secret. */
  repositories?: string[];
  project: string;
  region: string;
  flavor: string;
  image: string;
  network?: string;
  /** Plain text with placeholders. */
  userData?: string;
  /** Maximum number of instances at a time. */
  limit: number;
  /** Hours after which an instance is deleted, whatever has become of its job. */
  lifetime: number;
}

/** What is in an event, as far as it is used; anything else passes. */
export const WorkflowJobEvent = Type.Object({
  action: Type.String({ maxLength: 64 }),
  workflow_job: Type.Object({
    id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    run_id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    created_at: Type.Optional(Type.String({ maxLength: 64 })),
    labels: Type.Array(Type.String({ maxLength: 256 }), { maxItems: 100 }),
    runner_name: Type.Optional(Type.Union([Type.String({ maxLength: 256 }), Type.Null()])),
  }),
  repository: Type.Object({
    full_name: Type.String({ pattern: '^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}$' }),
  }),
});
export type WorkflowJobEvent = Static<typeof WorkflowJobEvent>;

export const GitHubEvent = Type.Object(
  {},
  { title: 'GitHubEvent', additionalProperties: true, description: 'An event, as GitHub sends it.' },
);

export const HookAnswer = Type.Object(
  {
    result: Type.Union([Type.Literal('accepted'), Type.Literal('waiting'), Type.Literal('ignored')], {
      description:
        '`accepted`: it has an effect. `waiting`: the limit of its rule is reached, or its instance cannot be created at the moment; it will have an effect later. `ignored`: it has none.',
    }),
    reason: Type.Optional(Type.String()),
    instance: Type.Optional(Type.String({ description: 'Name of the instance.' })),
  },
  { title: 'HookAnswer', ...closed },
);
export type HookAnswer = Static<typeof HookAnswer>;

/** `waiting` for room, `live` with an instance, `ending` with one to be deleted, `ended`. */
export type HookJobState = 'waiting' | 'live' | 'ending' | 'ended';

export interface HookJobRecord {
  rule: string;
  state: HookJobState;
  /** Of its instance, and of the runner in it. */
  name: string;
  runId: number;
  labels: string[];
  repository: string;
  /** Ms since 1970. */
  time: number;
  /** Why it has no instance yet, or never got one. */
  error?: string;
}

/** Whether the header is the HMAC of the body; compared in constant time. */
export function isSigned(header: string | undefined, body: Buffer, secret: string): boolean {
  const [, hex] = /^sha256=([0-9a-f]{64})$/.exec(header ?? '') ?? [];
  if (hex === undefined || secret === '') return false;
  return timingSafeEqual(Buffer.from(hex, 'hex'), createHmac('sha256', secret).update(body).digest());
}

/** The rule for a job. GitHub compares labels without case. */
export function ruleFor(
  rules: readonly HookRule[],
  labels: readonly string[],
  repository: string,
): HookRule | undefined {
  if (labels.length === 0) return undefined;
  const fits = ({ labels: known }: HookRule) => {
    const lower = known.map((label) => label.toLowerCase());
    return labels.every((label) => lower.includes(label.toLowerCase()));
  };
  return rules.find((rule) => fits(rule) && admits(rule, repository.toLowerCase()));
}

/** Whether the rule is for a repository, whose name is in lower case. */
export function admits({ repositories = [] }: HookRule, repository: string): boolean {
  if (repositories.length === 0) return true;
  return repositories
    .map((one) => one.toLowerCase())
    .some((one) => (one.endsWith('/*') ? repository.startsWith(one.slice(0, -1)) : repository === one));
}

const placeholders = ['job.id', 'job.run_id', 'job.labels', 'job.repository', 'instance.name'] as const;
type Placeholder = (typeof placeholders)[number];

const pattern = /\{\{\s*((?:job|instance)\.[A-Za-z_.]*)\s*\}\}/g;

/** A placeholder that does not exist. */
export function unknownPlaceholder(template: string): string | undefined {
  return [...template.matchAll(pattern)]
    .map(([, name = '']) => name)
    .find((name) => !placeholders.includes(name as Placeholder));
}

/**
 * The template with the values of the job. These consist of letters, digits and `._/,-` only, so that no shell, YAML or
 * JSON around them needs to quote them. Labels are spelled as in the rule: those of the event are anybody's text.
 */
export function filled(template: string, id: string, job: HookJobRecord, rule: HookRule): string {
  const wanted = job.labels.map((label) => label.toLowerCase());
  const values: Record<Placeholder, string> = {
    'job.id': id,
    'job.run_id': String(job.runId),
    'job.labels': rule.labels.filter((label) => wanted.includes(label.toLowerCase())).join(','),
    'job.repository': job.repository,
    'instance.name': job.name,
  };
  return template.replaceAll(pattern, (_whole, name: string) => {
    const value = values[name as Placeholder];
    if (!/^[A-Za-z0-9._/,-]*$/.test(value)) throw new Error(`The value of ${name} is not plain`);
    return value;
  });
}
