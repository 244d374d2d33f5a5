/**
 * Values from notations that have no types of their own, XML and forms: a tree of texts, to which the declared schema
 * of the body gives types, unless the client names them.
 */
import type { TSchema } from 'typebox';
import { ApiError } from '../../model/error.js';

export interface TextNode {
  /** The type that the client names. */
  type?: string | undefined;
  text: string;
  members: [name: string, value: TextNode][];
}

type Schema = TSchema & {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
};

export function malformedBody(message: string, options: { cause?: unknown } = {}): ApiError {
  return new ApiError('malformed_body', message, options);
}

/** Every alternative that a value may be. */
function alternatives(schema: Schema | undefined): Schema[] {
  if (schema === undefined) return [];
  const { anyOf, oneOf, allOf } = schema;
  const inner = [...(anyOf ?? []), ...(oneOf ?? []), ...(allOf ?? [])];
  return inner.length === 0 ? [schema] : inner.flatMap(alternatives);
}

function memberSchema(schemas: readonly Schema[], name: string): Schema | undefined {
  for (const { properties, patternProperties, additionalProperties } of schemas) {
    if (properties !== undefined && Object.hasOwn(properties, name)) return properties[name];
    const [first] = Object.values(patternProperties ?? {});
    if (first !== undefined) return first;
    if (typeof additionalProperties === 'object') return additionalProperties;
  }
  return undefined;
}

const numberPattern = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function numberIn(text: string): number | undefined {
  const value = numberPattern.test(text) ? Number(text) : NaN;
  return Number.isFinite(value) ? value : undefined;
}

/** The text as what the schema takes; where that is a text, or the text is nothing that it takes, the text itself. */
function typedText(text: string, schemas: readonly Schema[]): unknown {
  const takes = (type: string) =>
    schemas.some((one) => one.type === type || (one.const !== undefined && typeof one.const === type));
  if (schemas.some((one) => one.const === text) || takes('string')) return text;
  if (takes('integer') || takes('number')) return numberIn(text) ?? text;
  if (takes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  if (text !== '') return text;
  if (takes('array')) return [];
  return takes('object') ? {} : text;
}

function named(node: TextNode): unknown {
  const { type = '', text } = node;
  if (type === 'null' && text === '') return null;
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  const value = type === 'number' ? numberIn(text) : type === 'string' ? text : undefined;
  if (value !== undefined) return value;
  throw malformedBody(
    `"${text.slice(0, 100)}" is no ${type.slice(0, 20)}; the types are string, number, boolean, null, list and object.`,
  );
}

function listOf(members: TextNode['members'], schemas: readonly Schema[]): unknown[] {
  const items = schemas.find((one) => one.type === 'array')?.items;
  return members.map(([, member]) => valueOfNode(member, items));
}

/** Own members, whatever their names: an assignment to `__proto__` would make none. */
function objectOf(members: TextNode['members'], schemas: readonly Schema[]): object {
  const found = new Map<string, unknown>();
  for (const [name, member] of members) {
    const schema = memberSchema(schemas, name);
    // Elements or fields of the same name are the elements of a list.
    const items = alternatives(schema).find((one) => one.type === 'array')?.items;
    const repeated = members.filter(([other]) => other === name).length > 1;
    const isItem = items !== undefined && member.type === undefined && (repeated || isSingle(member));
    if (!isItem && found.has(name)) throw malformedBody(`"${name.slice(0, 100)}" is given more than once.`);
    if (!isItem) found.set(name, valueOfNode(member, schema));
    else found.set(name, [...((found.get(name) as unknown[] | undefined) ?? []), valueOfNode(member, items)]);
  }
  return Object.fromEntries(found);
}

/** A single field where a list is expected: its only element. */
function isSingle({ text, members }: TextNode): boolean {
  return members.length === 0 && text !== '';
}

/** The value of the tree, with the types of the schema. */
export function valueOfNode(node: TextNode, schema: TSchema | undefined): unknown {
  const schemas = alternatives(schema);
  const { type, text, members } = node;
  if (type === 'list') return listOf(members, schemas);
  if (type === 'object') return objectOf(members, schemas);
  if (type !== undefined) return named(node);
  if (members.length === 0) return typedText(text, schemas);
  const isList = schemas.some((one) => one.type === 'array') && !schemas.some((one) => one.type === 'object');
  return isList ? listOf(members, schemas) : objectOf(members, schemas);
}
