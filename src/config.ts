/**
 * Configuration: config/default.yaml, then --config FILE, then COPSE_* variables, then flags. The only file that reads
 * the environment.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import { closest } from 'fastest-levenshtein';
import { Type, type Static } from 'typebox';
import { parse } from 'yaml';
import { namePattern } from './model/common.js';

const closed = { additionalProperties: false };
const Seconds = Type.Number({ exclusiveMinimum: 0, maximum: 86400 });
/** A type, which is then the name too, NAME=TYPE, or the name alone of a region that the store knows. */
const RegionName = Type.String({ pattern: '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(=(local|simulated))?$' });

const FlavorConfig = Type.Object(
  {
    name: Type.String({ pattern: namePattern }),
    cpus: Type.Integer({ minimum: 1, maximum: 255 }),
    memoryMiB: Type.Integer({ minimum: 64 }),
    diskGB: Type.Integer({ minimum: 1 }),
  },
  closed,
);

const ConfigSchema = Type.Object(
  {
    server: Type.Object(
      {
        host: Type.String({ minLength: 1 }),
        port: Type.Integer({ minimum: 0, maximum: 65535 }),
        publicUrl: Type.String({ pattern: '^$|^https?://[^?#]+$' }),
        bodyLimit: Type.Integer({ minimum: 1024 }),
        requestTimeout: Seconds,
        headersTimeout: Seconds,
        sendTimeout: Seconds,
        maxConnections: Type.Integer({ minimum: 1 }),
        corsOrigins: Type.Array(Type.String({ pattern: '^https?://[^/?#]+$' })),
        drainDelay: Type.Number({ minimum: 0, maximum: 600 }),
        drainLimit: Type.Number({ minimum: 0, maximum: 600 }),
      },
      closed,
    ),
    limits: Type.Object(
      {
        requests: Type.Integer({ minimum: 0 }),
        window: Type.Integer({ minimum: 1, maximum: 86400 }),
      },
      closed,
    ),
    tracing: Type.Object({ endpoint: Type.String({ pattern: '^$|^https?://' }) }, closed),
    dataDir: Type.String({ minLength: 1 }),
    store: Type.String({ pattern: '^(sqlite:.+|mongodb(\\+srv)?://.+)$' }),
    cache: Type.Object({ pages: Type.Integer({ minimum: 0, maximum: 65536 }) }, closed),
    check: Type.Object({ limit: Type.Integer({ minimum: 0 }) }, closed),
    adminKey: Type.String({ pattern: '^$|^[\\x21-\\x7e]{32,256}$' }),
    auth: Type.Object(
      {
        superUsers: Type.Array(Type.String({ pattern: namePattern })),
        everyoneIsSuperUser: Type.Boolean(),
        authorizationServers: Type.Array(Type.String({ pattern: '^https?://' })),
        scopes: Type.Array(Type.String({ pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$' })),
      },
      closed,
    ),
    log: Type.Object(
      {
        level: Type.Union(
          (['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const).map((level) =>
            Type.Literal(level),
          ),
        ),
      },
      closed,
    ),
    tasks: Type.Object(
      {
        concurrency: Type.Integer({ minimum: 1, maximum: 10000 }),
        lease: Seconds,
        poll: Seconds,
        notice: Seconds,
        maxAttempts: Type.Integer({ minimum: 1, maximum: 50 }),
        backoff: Seconds,
        backoffMax: Seconds,
        grace: Type.Number({ minimum: 0, maximum: 3600 }),
        observe: Seconds,
        maxInterruptions: Type.Integer({ minimum: 1, maximum: 40 }),
        sweep: Seconds,
        keep: Type.Number({ exclusiveMinimum: 0, maximum: 36500 }),
      },
      closed,
    ),
    events: Type.Object({ keep: Type.Number({ exclusiveMinimum: 0, maximum: 3650 }) }, closed),
    instances: Type.Object(
      {
        maxLifetime: Type.Number({ exclusiveMinimum: 0, maximum: 36500 }),
        expiryWarning: Type.Number({ minimum: 0, maximum: 8784 }),
      },
      closed,
    ),
    worker: Type.Object(
      {
        listen: Type.Boolean(),
        host: Type.String({ minLength: 1 }),
        port: Type.Integer({ minimum: 0, maximum: 65535 }),
        address: Type.String({ pattern: '^(https?://[^?#]+)?$' }),
      },
      closed,
    ),
    regions: Type.Array(RegionName, { minItems: 1, uniqueItems: true }),
    local: Type.Object(
      {
        accelerator: Type.Union([Type.Literal('auto'), Type.Literal('kvm'), Type.Literal('tcg')]),
        imageDir: Type.String(),
        qemu: Type.String({ minLength: 1 }),
        qemuImg: Type.String({ minLength: 1 }),
        startWidth: Type.Integer({ minimum: 0, maximum: 1024 }),
        startSlot: Seconds,
        stopDeadline: Seconds,
        tbSize: Type.Integer({ minimum: 16, maximum: 4096 }),
        consoleLimit: Type.Integer({ minimum: 65536 }),
        flavors: Type.Array(FlavorConfig, { minItems: 1 }),
      },
      closed,
    ),
    simulated: Type.Object(
      {
        delay: Type.Integer({ minimum: 0, maximum: 3600000 }),
        delayJitter: Type.Number({ minimum: 0, maximum: 1 }),
        failureRate: Type.Number({ minimum: 0, maximum: 1 }),
        seed: Type.Integer(),
      },
      closed,
    ),
  },
  closed,
);

export type Config = Static<typeof ConfigSchema>;

/** A wrong configuration; the message names the key and what it accepts. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** The folder that holds package.json, config/ and docs/, from wherever the compiled code lies. */
export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new ConfigError('package.json is missing; the installation is incomplete.');
    folder = parent;
  }
  return folder;
}

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}

type Tree = Record<string, unknown>;

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readTree(file: string): Tree {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ConfigError(`${file}: cannot be read`, { cause });
  }
  let tree: unknown;
  try {
    tree = parse(text);
  } catch (cause) {
    throw new ConfigError(`${file}: is neither YAML nor JSON: ${(cause as Error).message}`, { cause });
  }
  if (tree === null) return {};
  if (!isTree(tree))
    throw new ConfigError(`${file}: must hold a map of options, as config/default.yaml does`);
  return tree;
}

/** Trees merge member by member; anything else, lists too, replaces. */
function merge(base: Tree, over: Tree): Tree {
  const merged: Tree = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isTree(below) && isTree(value) ? merge(below, value) : value;
  }
  return merged;
}

/** The variable that an option is read from. */
export function variableOf(path: readonly string[]): string {
  return `COPSE_${path.map((part) => part.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()).join('_')}`;
}

/** Every option's path, with the schema that its text must be read by. */
function* options(schema: Tree, path: string[] = []): Generator<[string[], Tree]> {
  for (const [key, child] of Object.entries((schema['properties'] ?? {}) as Record<string, Tree>)) {
    if (child['type'] === 'object') yield* options(child, [...path, key]);
    else yield [[...path, key], child];
  }
}

/** A variable's text as the type that the option has; a text that does not fit stays, for the validation to name. */
function fromText(text: string, schema: Tree): unknown {
  const type = schema['type'];
  if (type === 'integer' || type === 'number') return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (type !== 'array') return text;
  if (text.startsWith('[')) return listFrom(text);
  return text === '' ? [] : text.split(',').map((item) => item.trim());
}

/** Items that are not plain texts are given as YAML or JSON. */
function listFrom(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch {
    return text;
  }
}

function fromEnvironment(environment: NodeJS.ProcessEnv): Tree {
  const tree: Tree = {};
  for (const [path, schema] of options(ConfigSchema as unknown as Tree)) {
    const text = environment[variableOf(path)];
    if (text === undefined) continue;
    let at = tree;
    for (const part of path.slice(0, -1)) at = (at[part] ??= {}) as Tree;
    at[path.at(-1) ?? ''] = fromText(text, schema);
  }
  return tree;
}

/** Of the tests and scripts of this project, which pass them on to what they start. */
const otherVariables = /^COPSE_(TEST|CHAOS|FUZZ)_/;

/**
 * Variables that look like options and are none, each with the option's that comes nearest. Not refused as in a file: the
 * environment is shared, and Kubernetes itself sets COPSE_SERVICE_HOST for a service called copse.
 */
export function unknownVariables(
  environment: NodeJS.ProcessEnv = process.env,
): { variable: string; nearest: string }[] {
  const known = [...options(ConfigSchema as unknown as Tree)].map(([path]) => variableOf(path));
  return Object.keys(environment)
    .filter((name) => name.startsWith('COPSE_') && !known.includes(name) && !otherVariables.test(name))
    .map((variable) => ({ variable, nearest: closest(variable, known) }));
}

function accepts(error: ErrorObject): string {
  const { keyword, params, parentSchema } = error;
  if (keyword === 'additionalProperties') return 'is not an option';
  const choices = (parentSchema?.['anyOf'] as { const?: unknown }[] | undefined)?.map(
    (choice) => choice.const,
  );
  if (choices !== undefined) return `must be one of ${choices.join(', ')}`;
  if (keyword === 'pattern') return `must match ${(params as { pattern: string }).pattern}`;
  const bounds = ['minimum', 'exclusiveMinimum', 'maximum'].flatMap((bound) =>
    parentSchema?.[bound] === undefined ? [] : [`${bound} ${String(parentSchema[bound])}`],
  );
  return `${error.message ?? 'is wrong'}${bounds.length === 0 ? '' : ` (${bounds.join(', ')})`}`;
}

function keyOf(error: ErrorObject): string {
  const parts = error.instancePath.split('/').slice(1);
  if (error.keyword === 'additionalProperties') {
    parts.push((error.params as { additionalProperty: string }).additionalProperty);
  }
  if (error.keyword === 'required') parts.push((error.params as { missingProperty: string }).missingProperty);
  return parts.join('.');
}

function validated(tree: Tree): Config {
  const ajv = new Ajv2020({ allErrors: true, strict: true, verbose: true });
  const check = ajv.compile<Config>(ConfigSchema);
  if (check(tree)) return tree;
  // The branches of a choice add nothing to the choice's own error.
  const telling = (check.errors ?? []).filter((error) => error.keyword !== 'const');
  const lines = telling.map((error) => {
    const key = keyOf(error);
    const value =
      error.keyword === 'additionalProperties' || key === 'adminKey' || key === 'store'
        ? ''
        : ` (is ${JSON.stringify(error.data)})`;
    return `${key} ${accepts(error)}${value}`;
  });
  throw new ConfigError(lines.join('\n'));
}

export interface ConfigSources {
  /** Path given by --config. */
  file?: string;
  environment?: NodeJS.ProcessEnv;
  /** Options given by flags, as a tree of the same shape. */
  flags?: Tree;
}

/** The configuration from all its sources. Rejects with ConfigError. */
export function loadConfig(sources: ConfigSources = {}): Config {
  let tree = readTree(join(packageRoot(), 'config', 'default.yaml'));
  if (sources.file !== undefined) tree = merge(tree, readTree(resolve(sources.file)));
  tree = merge(tree, fromEnvironment(sources.environment ?? process.env));
  return validated(merge(tree, sources.flags ?? {}));
}
