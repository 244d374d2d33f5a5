/**
 * Names of ids. The models spell them in three ways: `projectID` in queries and paths, `projectId` in bodies, and
 * `project_id`. Each id has one declared name; the other two are accepted. This is declared here and nowhere else.
 */
import { isDeepStrictEqual } from 'node:util';
import type { TObject, TSchema } from 'typebox';
import { ApiError, type FieldError } from '../../model/error.js';

/** The other spellings of a declared name; none for a name that is not an id. */
export function aliasesOf(name: string): string[] {
  const [, stem, , plural = ''] = /^([A-Za-z]+?)(ID|Id|_id)(s?)$/.exec(name) ?? [];
  if (stem === undefined) return [];
  const snake = stem.replaceAll(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`);
  return [`${stem}ID${plural}`, `${stem}Id${plural}`, `${snake}_id${plural}`].filter((one) => one !== name);
}

/** The declared name of each alias that is not itself declared. */
function aliasesIn(schema: TObject): ReadonlyMap<string, string> {
  const names = Object.keys(schema.properties);
  const all = names.flatMap((name) => aliasesOf(name).map((alias) => [alias, name] as const));
  return new Map(all.filter(([alias]) => !names.includes(alias)));
}

/** Replaces aliases in a query by the declared names, so that filters, links and cursors use only these. */
export function queryNames(schema: TObject): (querystring: string) => string {
  const aliases = aliasesIn(schema);
  if (aliases.size === 0) return (querystring) => querystring;
  // Most queries have none, and need not be parsed for that.
  const some = new RegExp(`(^|&)(${[...aliases.keys()].join('|')})=`);
  return (querystring) => (some.test(querystring) ? renamed(querystring, aliases) : querystring);
}

function renamed(querystring: string, aliases: ReadonlyMap<string, string>): string {
  const query = new URLSearchParams(querystring);
  const errors: FieldError[] = [];
  for (const [alias, name] of aliases) {
    if (!query.has(alias)) continue;
    const values = query.getAll(alias);
    if (query.has(name) && !isDeepStrictEqual(values.toSorted(), query.getAll(name).toSorted())) {
      const message = `This is another spelling of "${name}", which has a different value.`;
      errors.push({ parameter: alias, message });
    }
    query.delete(alias);
    query.delete(name);
    for (const value of values) query.append(name, value);
  }
  const [first] = errors;
  if (first === undefined) return query.toString();
  throw new ApiError('invalid_parameter', `${first.parameter ?? ''}: ${first.message}`, { errors });
}

/**
 * Replaces aliases in a body, in place; returns whether there were any. A name that is given twice with different
 * values stays, to be refused by the validation.
 */
export function renameMembers(schema: TSchema, value: unknown): boolean {
  const { anyOf, items, properties } = schema as TSchema & {
    anyOf?: TSchema[];
    items?: TSchema;
    properties?: Record<string, TSchema>;
  };
  if (Array.isArray(value)) {
    return items !== undefined && value.map((item) => renameMembers(items, item)).includes(true);
  }
  if (typeof value !== 'object' || value === null) return false;
  if (properties === undefined) return anyOf?.map((one) => renameMembers(one, value)).includes(true) ?? false;
  const members = value as Record<string, unknown>;
  let changed = false;
  for (const [alias, name] of aliasesIn(schema as TObject)) {
    if (!Object.hasOwn(members, alias)) continue;
    if (Object.hasOwn(members, name) && !isSameId(members[alias], members[name])) continue;
    members[name] = members[alias];
    Reflect.deleteProperty(members, alias);
    changed = true;
  }
  for (const [name, member] of Object.entries(properties)) {
    if (Object.hasOwn(members, name) && renameMembers(member, members[name])) changed = true;
  }
  return changed;
}

/** For ids and lists of ids. Anything else, at any depth, is left for the validation to refuse. */
function isSameId(one: unknown, other: unknown): boolean {
  if (!Array.isArray(one) || !Array.isArray(other)) return one === other;
  return one.length === other.length && one.every((id, index) => id === other[index]);
}
