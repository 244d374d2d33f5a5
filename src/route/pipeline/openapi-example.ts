/** Example values for the document, generated from the schemas, so that none is duplicated or out of date. */

type Json = Record<string, unknown>;

/** Texts of which one matches most patterns in an API. */
const candidates = ['example', '1', '0193a5c0-0000-7000-8000-000000000000', 'instance.created', 'a', 'A'];

const byFormat: Readonly<Record<string, string>> = {
  uuid: '0193a5c0-0000-7000-8000-000000000000',
  'date-time': '2035-01-31T12:00:00.000Z',
  uri: 'https://example.com/',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
};

/** `projectID`, `projectId` and `project_id` are the same name. */
const plain = (name: string) => name.replaceAll('_', '').toLowerCase();

export class Examples {
  readonly #known: ReadonlyMap<string, string>;

  /** `known` contains the values of ids by the name of their parameter. */
  constructor(known: Readonly<Record<string, string>>) {
    this.#known = new Map(Object.entries(known).map(([name, value]) => [plain(name), value]));
  }

  /** A value that the schema accepts; undefined if none can be generated. `name` is that of the parameter or member. */
  of(schema: Json, name = ''): unknown {
    const { examples, example, const: only, enum: choices, anyOf, allOf } = schema;
    if (Array.isArray(examples) && examples.length > 0) return examples[0];
    if (example !== undefined) return example;
    if (only !== undefined) return only;
    if (Array.isArray(choices)) return choices[0];
    if (Array.isArray(anyOf)) return this.of(anyOf[0] as Json, name);
    if (Array.isArray(allOf)) {
      return Object.assign({}, ...allOf.map((part) => this.of(part as Json, name))) as unknown;
    }
    switch (schema['type']) {
      case 'object':
        return this.#object(schema);
      case 'array': {
        const item = this.of((schema['items'] ?? {}) as Json, name);
        return item === undefined || schema['maxItems'] === 0 ? [] : [item];
      }
      case 'string':
        return this.#text(schema, name);
      case 'integer':
      case 'number':
        return schema['default'] ?? schema['minimum'] ?? Math.min(1, Number(schema['maximum'] ?? 1));
      case 'boolean':
        return true;
      case 'null':
        return null;
      default:
        return undefined;
    }
  }

  #object(schema: Json): Json {
    const members = Object.entries((schema['properties'] ?? {}) as Record<string, Json>).map(
      ([name, property]) => [name, this.of(property, name)] as const,
    );
    return Object.fromEntries(members.filter(([, value]) => value !== undefined));
  }

  #text(schema: Json, name: string): string | undefined {
    const { format, pattern, minLength = 0, maxLength = Infinity } = schema;
    const rule = typeof pattern === 'string' ? new RegExp(pattern, 'u') : /^/;
    const known = this.#known.get(plain(name));
    const texts = typeof format === 'string' ? [known, byFormat[format]] : [known, ...candidates];
    return texts.find(
      (text) =>
        text !== undefined &&
        rule.test(text) &&
        text.length >= Number(minLength) &&
        text.length <= Number(maxLength),
    );
  }
}
