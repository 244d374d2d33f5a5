/** JSON merge patches (RFC 7396): how one changes a value, and its schema. */
import { type TObject, type TSchema, Type } from 'typebox';

type Json = Record<string, unknown>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The value with the patch applied: null removes, objects are merged member by member, anything else is replaced as a
 * whole.
 */
export function merged(value: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const old = isObject(value) ? value : {};
  const changes = Object.entries(patch).map(([name, change]): [string, unknown] => [
    name,
    change === null ? null : merged(old[name], change),
  ]);
  const all = { ...old, ...Object.fromEntries(changes) };
  return Object.fromEntries(Object.entries(all).filter(([, member]) => member !== null));
}

/** A patch of this type. */
export type MergePatch<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: MergePatch<Exclude<T[K], undefined>> | (undefined extends T[K] ? null : never) }
    : T;

/** The schema of patches for values of this schema: each member may be omitted, and null if it is optional. */
export function patchOf(schema: TObject): TObject {
  const { title } = schema as { title?: string };
  const required = new Set(schema.required);
  const properties = Object.entries(schema.properties as Record<string, TSchema>).map(([name, property]) => {
    const inner = 'properties' in property ? patchOf(property as TObject) : property;
    const { readOnly } = property as { readOnly?: boolean };
    const nullable = Type.Union([inner, Type.Null()], readOnly === undefined ? {} : { readOnly });
    return [name, Type.Optional(required.has(name) ? inner : nullable)] as const;
  });
  return Type.Object(Object.fromEntries(properties), {
    additionalProperties: false,
    ...(title === undefined
      ? {}
      : { title: title.includes('Update') ? title.replace('Update', 'Patch') : `${title}Patch` }),
  });
}
