/** Requests for each operation of an OpenAPI document: valid ones, damaged ones, and hostile headers on any of them. */
import fc from 'fast-check';
import { hostileTexts, type Mutation, mutation, type Schema, urlText, valid } from './fuzz-schema.js';

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  schema: Schema;
}

export interface Operation {
  operationId: string;
  parameters: (Parameter | { $ref: string })[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

export interface FuzzDocument {
  paths: Record<string, Record<string, Operation>>;
  components: Schema;
}

/** How the JSON text of a body is damaged. */
export type Damage =
  'none' | 'cut' | 'trailing' | 'bom' | 'latin1' | 'utf16' | 'empty' | 'deep' | 'huge-number' | 'twice';

/** A request with placeholders for ids, so that it can be generated before they are known. */
export interface Plan {
  method: string;
  path: string;
  operationId: string;
  /** Which user's key is sent, as a number. */
  caller: number;
  /** By parameter name: a text that is sent unchanged, or something to be converted to one. */
  pathParameters: Record<string, unknown>;
  query: [string, unknown][];
  headers: [string, unknown][];
  body?: { value: unknown; mutations: Mutation[]; damage: Damage; type: string | undefined };
}

/** Takes a member of a pool for a header, for example an entity tag. */
const pooled = (pool: string) => fc.nat(1000).map((index) => ({ $pool: pool, index }));

/** Text allowed in a header field: what HTTP itself forbids is covered by the raw-socket tests. */
const headerText = fc
  .oneof(fc.constantFrom(...hostileTexts), fc.string({ maxLength: 80 }), fc.constant('x'.repeat(3000)))
  .map((value) => value.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '').trim());

const tagList = fc.oneof(
  pooled('etag'),
  fc.constantFrom(
    '*',
    '"1"',
    '"2"',
    'W/"1"',
    '"1", "2","3"',
    '"',
    'abc',
    '""',
    '"1;br"',
    '*, "1"',
    '"a" "b"',
  ),
  headerText,
);

const hostileHeaders: Record<string, fc.Arbitrary<unknown>> = {
  'If-Match': tagList,
  'If-None-Match': tagList,
  Prefer: fc.oneof(
    fc.constantFrom(
      'wait=0',
      'wait=1',
      'wait=999999999',
      'respond-async',
      'wait=-1',
      'wait=x',
      'wait="1", wait=2',
      ',,;=',
    ),
    headerText,
  ),
  'Idempotency-Key': fc.oneof(
    fc.nat(40).map((n) => `key-${n}`),
    fc.nat(40).map((n) => `"key-${n}"`),
    fc.constantFrom('""', '"', 'a b', 'x'.repeat(255), 'x'.repeat(256), '\xe4'),
    headerText,
  ),
  Accept: fc.oneof(
    fc.constantFrom(
      'application/json',
      'application/problem+json',
      'text/html',
      '*/*',
      'application/*;q=0',
      'x',
      ',',
      ';q=',
      'a/b;q=2, */*;q=-1',
      'application/problem+json;q=0.1, application/json;q=0.05',
    ),
    headerText,
  ),
  'Accept-Encoding': fc.oneof(
    fc.constantFrom('br', 'gzip', 'identity;q=0', '*;q=0', 'br;q=0.1,gzip', 'zstd'),
    headerText,
  ),
  'X-Request-Id': fc.oneof(fc.constantFrom('mine', 'a b', '<x>', 'x'.repeat(129)), headerText),
  traceparent: fc.oneof(
    fc.constantFrom(
      '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
      '00-x',
    ),
    headerText,
  ),
  Authorization: fc.oneof(
    { weight: 9, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: headerText },
  ),
  'Api-Key': headerText,
  'X-HTTP-Method-Override': fc.constantFrom('DELETE', 'GET'),
  'X-Forwarded-Host': headerText,
  Cookie: headerText,
  Origin: headerText,
  Range: fc.constantFrom('bytes=0-1', 'bytes=-1', 'x'),
  'If-Modified-Since': headerText,
  'Content-Encoding': fc.constantFrom('gzip', 'br', 'identity', 'x'),
};

/** Of several with the same name the last applies. */
const headers: fc.Arbitrary<[string, unknown][]> = fc.array(
  fc.oneof(
    ...Object.entries(hostileHeaders).map(([name, value]) =>
      value.map((one): [string, unknown] => [name, one]),
    ),
  ),
  { maxLength: 4 },
);

/** Usually nothing, so that most requests get far. */
const seldom = <T>(arbitrary: fc.Arbitrary<T>, otherwise: T, weight = 4) =>
  fc.oneof({ weight, arbitrary: fc.constant(otherwise) }, { weight: 1, arbitrary });

const damages: fc.Arbitrary<Damage> = seldom(
  fc.constantFrom<Damage>(
    'cut',
    'trailing',
    'bom',
    'latin1',
    'utf16',
    'empty',
    'deep',
    'huge-number',
    'twice',
  ),
  'none',
  9,
);

const mediaTypes = seldom(
  fc.constantFrom<string | undefined>(
    'application/json; charset=utf-8',
    'application/json;charset=x',
    'text/plain',
    'application/xml',
    'APPLICATION/JSON',
    'multipart/form-data',
    '',
    undefined,
    'json',
    'application/merge-patch+json',
  ),
  'application/json',
  9,
);

const bodyOf = (value: fc.Arbitrary<unknown>): fc.Arbitrary<NonNullable<Plan['body']>> =>
  fc.record({
    value,
    mutations: fc.oneof(
      { weight: 1, arbitrary: fc.constant<Mutation[]>([]) },
      { weight: 1, arbitrary: fc.array(mutation, { maxLength: 3 }) },
    ),
    damage: damages,
    type: mediaTypes,
  });

/** Requests of one operation. */
function plansOf(path: string, method: string, operation: Operation, components: Schema): fc.Arbitrary<Plan> {
  const parameters = operation.parameters.filter((one): one is Parameter => !('$ref' in one));
  const values = (place: Parameter['in']) =>
    parameters
      .filter((one) => one.in === place)
      .map(({ name, schema }) => ({ name, value: valueOf(name, schema, components) }));
  const inPath = values('path').map(({ name, value }): [string, fc.Arbitrary<unknown>] => [
    name,
    fc.oneof({ weight: 12, arbitrary: value }, { weight: 1, arbitrary: urlText }),
  ]);
  const inQuery = values('query');
  const known = inQuery.map(({ name, value }) => value.map((one): [string, unknown] => [name, one]));
  const strange: fc.Arbitrary<[string, unknown]> = fc.tuple(
    fc.oneof(
      urlText,
      fc.constantFrom('key', 'limit', 'sort', '__proto__', ...inQuery.map(({ name }) => name)),
    ),
    urlText,
  );
  const pair = fc.oneof(...known.map((arbitrary) => ({ weight: 3, arbitrary })), {
    weight: 1,
    arbitrary: strange,
  });
  const query = fc.oneof(
    { weight: 6, arbitrary: fc.constant<[string, unknown][]>([]) },
    { weight: known.length > 0 ? 6 : 1, arbitrary: fc.array(pair, { maxLength: 4 }) },
  );
  const schema = operation.requestBody?.content['application/json']?.schema;
  type Body = NonNullable<Plan['body']> | undefined;
  const none = fc.constant<Body>(undefined);
  const body =
    schema === undefined
      ? fc.oneof({ weight: 14, arbitrary: none }, { weight: 1, arbitrary: bodyOf(fc.constant({})) })
      : fc.oneof(
          { weight: 1, arbitrary: none },
          { weight: 14, arbitrary: bodyOf(valid(schema, components)) },
        );
  return fc
    .record({
      pathParameters: fc.record(Object.fromEntries(inPath)),
      query,
      headers: fc.oneof(
        { weight: 1, arbitrary: fc.constant<Plan['headers']>([]) },
        { weight: 2, arbitrary: headers },
      ),
      body,
      head: fc.nat(9),
      caller: fc.nat(1000),
    })
    .map(({ body: planned, head, ...rest }) => ({
      method: method === 'get' && head === 0 ? 'HEAD' : method.toUpperCase(),
      path,
      operationId: operation.operationId,
      ...rest,
      ...(planned === undefined ? {} : { body: planned }),
    }));
}

function valueOf(name: string, schema: Schema, components: Schema): fc.Arbitrary<unknown> {
  if (name === 'key') return fc.oneof(pooled('key'), urlText);
  if (name === 'asset') return fc.constantFrom('errors', 'start.js', 'none');
  if (name === 'file') return fc.constantFrom('style.css', 'none');
  if (schema['type'] === 'array') return valid(schema['items'] as Schema, components, name);
  return fc.oneof(
    { weight: 5, arbitrary: valid(schema, components, name) },
    { weight: 1, arbitrary: urlText },
  );
}

/** How often an operation occurs, if not once: changes occur more often, so that there is something to change. */
const weights: Readonly<Record<string, number>> = {
  createInstance: 12,
  updateInstance: 14,
  startInstance: 5,
  stopInstance: 5,
  rebootInstance: 5,
  deleteInstance: 3,
  getInstance: 3,
  listInstances: 3,
  getTask: 3,
  listTasks: 2,
  patchTask: 20,
  restartTask: 6,
  extendInstanceExpiration: 4,
};

/** Requests of any operation. */
export function anyPlan({ paths, components }: FuzzDocument): fc.Arbitrary<Plan> {
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      weight: weights[operation.operationId] ?? 1,
      arbitrary: plansOf(path, method, operation, components),
    })),
  );
  return fc.oneof(...all);
}

/** The bytes of a body. */
export function damaged(json: string, damage: Damage): Buffer {
  switch (damage) {
    case 'none':
      return Buffer.from(json);
    case 'cut':
      return Buffer.from(json.slice(0, Math.floor(json.length / 2)));
    case 'trailing':
      return Buffer.from(`${json} garbage`);
    case 'bom':
      return Buffer.from(`\ufeff${json}`);
    case 'latin1':
      return Buffer.concat([Buffer.from(json.replace(/"}*$/, '')), Buffer.from([0xe4, 0xff, 0xc0, 0x22])]);
    case 'utf16':
      return Buffer.from(json, 'utf16le');
    case 'empty':
      return Buffer.alloc(0);
    case 'deep':
      return Buffer.from('['.repeat(50_000) + ']'.repeat(50_000));
    case 'huge-number':
      return Buffer.from(json.replace(/:\s*("[^"]*"|\d+)/, `:1${'0'.repeat(400)}e999`));
    case 'twice':
      return Buffer.from(json.replace(/^\{/, '{"metadata":1,"metadata":{"name":"a"},'));
  }
}
