/** What an API key may be limited to, as its creator writes it, and as requests are checked against it. */
import { Type, type Static } from 'typebox';
import { defined, Tag, Uuid } from './common.js';
import { ApiError, type FieldError } from './error.js';
import { type Limits, type Right, roleRights, type Verb, verbNames, verbs } from './role.js';

/** The largest number of instances that a key can be limited to: they are counted in one document. */
const instanceLimit = 1000;

const hundredYears = 100 * 366 * 24 * 3600;

const AnyVerb = Type.Unsafe<Verb>(Type.Union(verbNames.map((verb) => Type.Literal(verb))));

export const ApiKeySpec = Type.Object(
  {
    role: Type.Optional(
      Type.Union([Type.Literal('reader'), Type.Literal('operator'), Type.Literal('admin')], {
        description: 'The rights of at most this role, in every project.',
      }),
    ),
    verbs: Type.Optional(
      Type.Array(AnyVerb, {
        maxItems: verbNames.length,
        uniqueItems: true,
        description: 'What the key may do besides reading. An empty list: nothing.',
      }),
    ),
    projectIds: Type.Optional(
      Type.Array(Uuid, {
        minItems: 1,
        maxItems: 100,
        uniqueItems: true,
        description: 'Only these projects, as far as its user may use them.',
      }),
    ),
    tags: Type.Optional(
      Type.Array(Tag, {
        minItems: 1,
        maxItems: 16,
        description: 'Only instances that have all of these tags. New ones must have them, too.',
      }),
    ),
    maxInstances: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: instanceLimit,
        description: 'How many instances that were created with the key may exist at a time.',
      }),
    ),
    lifetime: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: hundredYears,
        description:
          'Seconds from its creation after which an instance that is created or changed with the key expires at the latest. One that is created without an expiry gets this one.',
      }),
    ),
    requiresPlan: Type.Optional(
      Type.Boolean({
        description:
          'Whether a request that stops, restarts, replaces or deletes a machine, or makes it expire earlier, needs the `planID` of a recent request with `dryRun=true`.',
      }),
    ),
  },
  {
    title: 'ApiKeySpec',
    description: 'Limits. Without any, the key may do whatever its user may.',
    additionalProperties: false,
  },
);
export type ApiKeySpec = Static<typeof ApiKeySpec>;

/** `name=value`, as instances are filtered by it. */
export function tagText({ name, value }: Tag): string {
  return `${name}=${value}`;
}

/** Rules beyond the schema. */
export function checkApiKeySpec({ tags }: ApiKeySpec): void {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [index, { name }] of (tags ?? []).entries()) {
    if (seen.has(name))
      errors.push({ pointer: `/spec/tags/${index}/name`, message: `Tag "${name}" appears twice.` });
    seen.add(name);
  }
  if (errors.length > 0) throw new ApiError('invalid_body', 'Tag names must be unique.', { errors });
}

function rightsFor(spec: ApiKeySpec): readonly Right[] | undefined {
  const held = rightsOfRole(spec);
  const { tags, maxInstances, lifetime, requiresPlan, verbs: allowed } = spec;
  const isBounded = [tags, maxInstances, lifetime].some((limit) => limit !== undefined) || requiresPlan;
  // Whoever changes the members of a project could let in someone without these limits.
  if (isBounded !== true || allowed?.includes('administer') === true) return held;
  return (held ?? roleRights.admin).filter((right) => right !== 'administer');
}

function rightsOfRole({ role, verbs: allowed }: ApiKeySpec): readonly Right[] | undefined {
  const ofRole: readonly Right[] | undefined = role === undefined ? undefined : roleRights[role];
  if (allowed === undefined) return ofRole;
  const ofVerbs: readonly Right[] = ['read', ...new Set(allowed.map((verb: Verb) => verbs[verb].right))];
  return ofRole === undefined ? ofVerbs : ofVerbs.filter((right) => ofRole.includes(right));
}

/** What requests are checked against. Undefined: the key limits nothing. */
export function limitsOf(spec: ApiKeySpec | undefined): Limits | undefined {
  if (spec === undefined) return undefined;
  const { requiresPlan, ...limits } = spec;
  if (requiresPlan !== true && Object.keys(limits).length === 0) return undefined;
  const { projectIds, maxInstances, lifetime } = spec;
  return defined({
    rights: rightsFor(spec),
    verbs: spec.verbs,
    projectIds,
    tags: spec.tags?.map(tagText),
    maxInstances,
    lifetime: lifetime === undefined ? undefined : lifetime * 1000,
    requiresPlan: requiresPlan === true ? true : undefined,
  });
}

/** Whether a resource with these tags is within the limits. */
export function hasTags({ tags }: Limits, present: readonly Tag[] | undefined): boolean {
  if (tags === undefined) return true;
  const texts = (present ?? []).map(tagText);
  return tags.every((tag) => texts.includes(tag));
}

/** The same for the public text of an instance. */
export function textHasTags(limits: Limits, text: string): boolean {
  if (limits.tags === undefined) return true;
  const { metadata } = JSON.parse(text) as { metadata: { tags?: Tag[] } };
  return hasTags(limits, metadata.tags);
}
