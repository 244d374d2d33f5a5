/** Values from JSON Schemas: valid ones, and ones that violate them in some place. */
import fc from 'fast-check';

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Schema = Record<string, unknown>;

/** An id that is inserted when the request is made, from those that the API has returned by then. */
export interface Placeholder {
  $pool: string;
  index: number;
}

export function isPlaceholder(value: unknown): value is Placeholder {
  return typeof value === 'object' && value !== null && '$pool' in value;
}

export const hostileTexts: readonly string[] = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '../../etc/passwd',
  "'; DROP TABLE instances; --",
  '"',
  '\\',
  '%00',
  '%zz',
  '${7*7}',
  '<script>',
  '__proto__',
  'constructor',
  'null',
  'undefined',
  'NaN',
  '-1',
  '1e400',
  '\ud800',
  '\udc00x',
  '\u202e',
  '\ufeff',
  '\u{1f4a9}'.repeat(20),
  'e\u0301'.repeat(40),
  '\uff0e\uff0e\uff0f',
];

/** Lengths around the usual limits of schemas. */
const lengths = [
  1, 62, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 4096, 87_384, 87_385, 90_000,
];

const numbers = [
  0,
  -0,
  -1,
  1,
  0.5,
  1000,
  1001,
  2 ** 31,
  2 ** 53,
  2 ** 53 + 2,
  -(2 ** 63),
  1e21,
  1e308,
  5e-324,
];

/** Texts of any kind, up to this many characters. */
const textUpTo = (limit: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constantFrom(...hostileTexts),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(...lengths.filter((length) => length <= limit)).map((length) => 'x'.repeat(length)),
  );

export const text = textUpTo(Infinity);

/** Short enough for several in one request target; longer ones are covered by the raw-socket tests. */
export const urlText = textUpTo(1025);

function nested(depth: number, array: boolean): Json {
  let value: Json = 1;
  for (let level = 0; level < depth; level += 1) value = array ? [value] : { a: value };
  return value;
}

/** Any JSON value. */
const anything: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false, [], {}, [[]], [null], { a: 1 }, ''),
  fc.constantFrom<Json>(...numbers),
  text,
  fc.tuple(fc.constantFrom(10, 100, 1000), fc.boolean()).map(([depth, array]) => nested(depth, array)),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
);

/** Times of these years, in forms that RFC 3339 has. */
const moment = fc.oneof(
  fc
    .date({ min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true })
    .map((date) => date.toISOString()),
  fc.constantFrom('2035-06-30T23:59:60Z', '2035-01-01t00:00:00.123456z', '2035-01-01T00:00:00-23:59'),
);

const poolOf: Readonly<Record<string, string>> = { subjectid: 'instanceid' };

/** Valid values for the schema; ids of known kinds become placeholders for real ones. */
export function valid(schema: Schema, components: Schema, name = ''): fc.Arbitrary<unknown> {
  const { $ref, anyOf, format, pattern, type } = schema as Schema & { anyOf?: Schema[] };
  const choices = (schema['enum'] ?? ('const' in schema ? [schema['const']] : undefined)) as
    Json[] | undefined;
  if (typeof $ref === 'string') {
    const target = (components['schemas'] as Record<string, Schema>)[$ref.split('/').at(-1) ?? ''] ?? {};
    return valid(target, components, name);
  }
  if (choices !== undefined) return fc.constantFrom(...choices);
  if (anyOf !== undefined) return fc.oneof(...anyOf.map((choice) => valid(choice, components, name)));
  if (format === 'uuid') return identifier(name);
  if (format === 'date-time') return moment;
  switch (type) {
    case 'object':
      return objectOf(schema, components);
    case 'array': {
      const items = valid((schema['items'] ?? {}) as Schema, components, name);
      return fc.array(items, { maxLength: Math.min(Number(schema['maxItems'] ?? 4), 4) });
    }
    case 'integer':
      return fc.integer({ min: Number(schema['minimum'] ?? -5), max: Number(schema['maximum'] ?? 100_000) });
    case 'number':
      return fc.double({ noNaN: true });
    case 'boolean':
      return fc.boolean();
    default:
      break;
  }
  const limit = { minLength: Number(schema['minLength'] ?? 0), maxLength: Number(schema['maxLength'] ?? 60) };
  if (typeof pattern === 'string') {
    // A pattern may itself require more than other texts get here.
    const most = schema['maxLength'] === undefined ? {} : { maxLength: limit.maxLength };
    return fc.stringMatching(new RegExp(pattern), most).filter((found) => found.length >= limit.minLength);
  }
  return fc.string({ ...limit, unit: 'grapheme', size: 'small' });
}

function identifier(name: string): fc.Arbitrary<unknown> {
  const lower = name.toLowerCase();
  const known = fc.nat(1000).map((index) => ({ $pool: poolOf[lower] ?? lower, index }));
  return fc.oneof({ weight: 12, arbitrary: known }, { weight: 1, arbitrary: fc.uuid() });
}

function objectOf(schema: Schema, components: Schema): fc.Arbitrary<unknown> {
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>);
  const required = (schema['required'] ?? []) as string[];
  const members = properties.map(([name, property]): [string, fc.Arbitrary<unknown>] => {
    const value = valid(property, components, name);
    // One of several ids is often required, which no schema expresses.
    const often = property['format'] === 'uuid' ? 3 : 1;
    const seldom = fc.oneof(
      // A read-only member can only be refused, unless it is what was read.
      { weight: property['readOnly'] === true ? 15 : 3, arbitrary: fc.constant(undefined) },
      { weight: often, arbitrary: value },
    );
    return [name, required.includes(name) ? value : seldom];
  });
  return fc.record(Object.fromEntries(members));
}

/** One change of a value; a number decides its place when it is applied. */
export interface Mutation {
  at: number;
  kind: 'replace' | 'remove' | 'add' | 'repeat' | 'wrap';
  name: string;
  value: Json;
}

export const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(10_000),
  kind: fc.constantFrom<Mutation['kind']>('replace', 'replace', 'replace', 'remove', 'add', 'repeat', 'wrap'),
  name: fc.oneof(
    fc.constantFrom(
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      'extra',
      'id',
      'status',
      'a/b~c',
      '',
    ),
    text,
  ),
  value: anything,
});

interface Place {
  holder: Record<string, Json>;
  name: string;
}

/** Every member of every nested object and array. Without recursion: nesting may be deep. */
function places(root: Json): Place[] {
  const found: Place[] = [];
  const open: Json[] = [root];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    const holder = value as Record<string, Json>;
    for (const name of Object.keys(holder)) {
      found.push({ holder, name });
      open.push(holder[name] ?? null);
    }
  }
  return found;
}

/** Sets an own member, also one that is called __proto__. */
function put(holder: object, name: string, value: Json): void {
  Object.defineProperty(holder, name, { value, enumerable: true, configurable: true, writable: true });
}

/** Changes the value in place, or returns another one instead. */
export function mutate(root: Json, { at, kind, name, value }: Mutation): Json {
  // A copy: a generated constant could otherwise come to contain itself.
  const fresh = structuredClone(value);
  const all = places(root);
  const place = all[at % Math.max(all.length, 1)];
  if (place === undefined) return fresh;
  const { holder } = place;
  const old = holder[place.name] ?? null;
  switch (kind) {
    case 'replace':
      put(holder, place.name, fresh);
      break;
    case 'remove':
      // A removed array element becomes null in JSON.
      Reflect.deleteProperty(holder, place.name);
      break;
    case 'add':
      put(typeof old === 'object' && old !== null ? old : holder, name, fresh);
      break;
    case 'repeat': {
      const times = places(old).length < 100 ? 1 + (at % 120) : 2;
      put(
        holder,
        place.name,
        Array.from({ length: times }, () => structuredClone(old)),
      );
      break;
    }
    case 'wrap':
      put(holder, place.name, at % 2 === 0 ? [old] : { [name]: old });
      break;
  }
  return root;
}
