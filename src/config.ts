/**
 * Configuration: config/default.yaml, then --config FILE, then COPSE_* variables, then flags. The only file that reads
 * the environment.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { closest } from 'fastest-levenshtein';
import { LineCounter, parseDocument } from 'yaml';
import { faultIn, formOf, forms } from './config/forms.js';
import { contradictionsIn } from './config/rules.js';
import { type Config, ConfigSchema } from './config/schema.js';
import { packageRoot } from './platform/package.js';

export type { Config, IssuerConfig } from './config/schema.js';
export { packageRoot, packageVersion } from './platform/package.js';

/** An invalid configuration; the message names the option and the accepted values. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

type Tree = Record<string, unknown>;

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses the text. Errors give the position but never quote the text, which may be a secret. */
function parseYaml(text: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, logLevel: 'silent', lineCounter: lines });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) {
    const { line, col } = lines.linePos(fault.pos[0]);
    const what = fault.code.toLowerCase().replaceAll('_', ' ');
    throw new Error(`${what}, line ${line}, column ${col}`);
  }
  try {
    return document.toJS() as unknown;
  } catch {
    throw new Error('an alias without an anchor, or too many aliases');
  }
}

function readTree(file: string): Tree {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`${file}: cannot be read (${code})`, { cause });
  }
  let tree: unknown;
  try {
    tree = parseYaml(text);
  } catch (error) {
    throw new ConfigError(`${file}: is neither YAML nor JSON: ${(error as Error).message}`);
  }
  if (tree === null) return {};
  if (!isTree(tree))
    throw new ConfigError(`${file}: must contain a map of options, like config/default.yaml`);
  return tree;
}

/** Trees are merged member by member; anything else, including lists, is replaced. */
function merge(base: Tree, over: Tree): Tree {
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    const below = merged.get(key);
    merged.set(key, isTree(below) && isTree(value) ? merge(below, value) : value);
  }
  // Defines each as an own member, even __proto__.
  return Object.fromEntries(merged);
}

/** The environment variable of an option. */
export function variableOf(path: readonly string[]): string {
  return `COPSE_${path.map((part) => part.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()).join('_')}`;
}

/** Every option's path, with the schema that its text is parsed with. */
function* options(schema: Tree, path: string[] = []): Generator<[string[], Tree]> {
  for (const [key, child] of Object.entries((schema['properties'] ?? {}) as Record<string, Tree>)) {
    if (child['type'] === 'object') yield* options(child, [...path, key]);
    else yield [[...path, key], child];
  }
}

/** A variable's text converted to the option's type; a text that does not fit is left for the validation to report. */
function fromText(text: string, schema: Tree): unknown {
  const type = schema['type'];
  if (type === 'integer' || type === 'number') return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (type !== 'array') return text;
  if (text.startsWith('[')) return listFrom(text);
  return text === '' ? [] : text.split(',').map((item) => item.trim());
}

/** Items that are not plain strings are written as YAML or JSON. */
function listFrom(text: string): unknown {
  try {
    return parseYaml(text);
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

/** Variables of this project's tests and scripts, which pass them on to the processes they start, and of its command line. */
const otherVariables = /^COPSE_((TEST|CHAOS|FUZZ)_|(URL|API_KEY)$)/;

/**
 * Variables that look like options but are not, each with the closest option. They are not refused as in a file,
 * because the environment is shared: Kubernetes itself sets COPSE_SERVICE_HOST for a service named copse.
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
  if (keyword === 'additionalProperties') return `is not an option; did you mean ${nearestTo(keyOf(error))}?`;
  const choices = (parentSchema?.['anyOf'] as { const?: unknown }[] | undefined)?.map(
    (choice) => choice.const,
  );
  if (choices !== undefined) return `must be one of ${choices.join(', ')}`;
  if (keyword === 'pattern') return `must match ${(params as { pattern: string }).pattern}`;
  const form = keyword === 'format' ? formOf((params as { format: string }).format) : undefined;
  if (form !== undefined) return `must ${form.accepts}; ${faultIn(form, String(error.data)) ?? ''}`;
  const bounds = ['minimum', 'exclusiveMinimum', 'maximum'].flatMap((bound) =>
    parentSchema?.[bound] === undefined ? [] : [`${bound} ${String(parentSchema[bound])}`],
  );
  return `${error.message ?? 'is invalid'}${bounds.length === 0 ? '' : ` (${bounds.join(', ')})`}`;
}

/** The option that was probably meant: one with the same name elsewhere, otherwise the one with the closest path. */
function nearestTo(key: string): string {
  const paths = [...options(ConfigSchema as unknown as Tree)].map(([path]) => path);
  const name = key.split('.').at(-1);
  const elsewhere = paths.find((path) => path.at(-1) === name);
  return (
    elsewhere?.join('.') ??
    closest(
      key,
      paths.map((path) => path.join('.')),
    )
  );
}

function keyOf(error: ErrorObject): string {
  const parts = error.instancePath.split('/').slice(1);
  if (error.keyword === 'additionalProperties') {
    const { additionalProperty } = error.params as { additionalProperty: string };
    // A value misplaced as a name may be a secret.
    parts.push(/^[\w.-]{1,64}$/.test(additionalProperty) ? additionalProperty : '…');
  }
  if (error.keyword === 'required') parts.push((error.params as { missingProperty: string }).missingProperty);
  return parts.join('.');
}

const secretOptions = ['adminKey', 'store', 'hooks.github.secret'];

/** The given value, unless it may be or contain a secret. */
function shown(key: string, { keyword, data }: ErrorObject): string {
  if (keyword === 'additionalProperties' || secretOptions.includes(key)) return '';
  const text = typeof data === 'number' ? String(data) : JSON.stringify(data);
  const masked = text.replace(/^("?).*@/s, '$1***@').replace(/\?[^"]*/s, '?***');
  return ` (is ${masked.length > 200 ? `${masked.slice(0, 200)}…` : masked})`;
}

const ajv = new Ajv2020({
  allErrors: true,
  strict: true,
  verbose: true,
  // The schema is checked by tests, and its validator runs once: both would only delay the start.
  validateSchema: false,
  code: { optimize: false },
  formats: Object.fromEntries(
    Object.entries(forms).map(([name, form]) => [name, (text: string) => faultIn(form, text) === undefined]),
  ),
});

let compiled: ValidateFunction<Config> | undefined;

function validated(tree: Tree): Config {
  const check = (compiled ??= ajv.compile<Config>(ConfigSchema));
  if (check(tree)) {
    const config = asRead(tree, ConfigSchema as unknown as Tree) as Config;
    const contradictions = contradictionsIn(config);
    if (contradictions.length > 0) throw new ConfigError(contradictions.join('\n'));
    return config;
  }
  const errors = check.errors ?? [];
  const isPositive = ({ instancePath }: ErrorObject) =>
    !errors.some((one) => one.instancePath === instancePath && one.keyword === 'exclusiveMinimum');
  const lines = errors
    // The branches of a union add nothing to the union's own error, nor does a second bound to the first.
    .filter((error) => error.keyword !== 'const' && (error.keyword !== 'minimum' || isPositive(error)))
    .map((error) => `${keyOf(error)} ${accepts(error)}${shown(keyOf(error), error)}`);
  throw new ConfigError(lines.join('\n'));
}

/** The normalised value, for example URLs with their host in Punycode. */
function asRead(value: unknown, schema: Tree): unknown {
  const form = formOf(schema['format']);
  if (typeof value === 'string') return form === undefined || value === '' ? value : form.read(value);
  if (Array.isArray(value)) return value.map((item) => asRead(item, (schema['items'] ?? {}) as Tree));
  if (!isTree(value)) return value;
  const properties = (schema['properties'] ?? {}) as Record<string, Tree>;
  return Object.fromEntries(
    Object.entries(value).map(([key, below]) => [key, asRead(below, properties[key] ?? {})]),
  );
}

export interface ConfigSources {
  /** Path given by --config. */
  file?: string;
  environment?: NodeJS.ProcessEnv;
  /** Options from flags, as a tree of the same structure. */
  flags?: Tree;
}

/** The configuration from all its sources. Throws ConfigError. */
export function loadConfig(sources: ConfigSources = {}): Config {
  let tree = readTree(join(packageRoot(), 'config', 'default.yaml'));
  if (sources.file !== undefined) tree = merge(tree, readTree(resolve(sources.file)));
  tree = merge(tree, fromEnvironment(sources.environment ?? process.env));
  return validated(merge(tree, sources.flags ?? {}));
}
