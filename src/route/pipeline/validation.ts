/** Turns declared schemas into validators whose errors give the place, the fault and the accepted values. */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { closest, distance } from 'fastest-levenshtein';
import type { TObject, TSchema } from 'typebox';
import { ApiError, type FieldError } from '../../model/error.js';
import { renameMembers } from './aliases.js';

/** Maximum number of faults in one response; more would only make it longer. */
const faultLimit = 20;

// `assertSchema` validates schemas.
const ajv = new Ajv2020({ allErrors: true, strict: true, verbose: true, validateSchema: false });
formats.default(ajv, ['uuid', 'date-time', 'ipv4', 'ipv6', 'uri']);

type Properties = Record<string, TSchema & Record<string, unknown>>;

function suggestion(name: string, known: readonly string[]): string {
  if (known.length === 0) return 'No query parameters are accepted here.';
  const nearest = closest(name, known);
  if (distance(name, nearest) <= Math.max(2, nearest.length / 3)) return `Did you mean "${nearest}"?`;
  return `Expected one of ${known.join(', ')}.`;
}

function describe(error: ErrorObject): string {
  const schema = (error.parentSchema ?? {}) as Record<string, unknown>;
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties': {
      const known = Object.keys(schema['properties'] ?? {});
      return `"${String(params['additionalProperty']).slice(0, 100)}" is not known. ${suggestion(String(params['additionalProperty']).slice(0, 100), known)}`;
    }
    case 'required':
      return `"${String(params['missingProperty'])}" is missing.`;
    case 'enum':
      return `Expected one of ${(params['allowedValues'] as string[]).join(', ')}.`;
    case 'anyOf': {
      const choices = (schema['anyOf'] as { const?: string }[]).map((choice) => choice.const);
      return choices.every((choice) => choice !== undefined)
        ? `Expected one of ${choices.join(', ')}.`
        : 'The value matches none of the alternatives.';
    }
    case 'pattern':
    case 'format': {
      const { description } = schema;
      return typeof description === 'string' ? `Not a valid value. ${description}` : sentence(error.message);
    }
    default:
      return sentence(error.message);
  }
}

function sentence(text = 'is not valid'): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/**
 * Errors of the branches of a union are less useful than the union's own; but for a nullable value, only those of the
 * value are useful.
 */
function telling(errors: readonly ErrorObject[]): ErrorObject[] {
  return errors
    .filter((error) => error.keyword !== 'const' && !isNull(error.parentSchema) && !isNullable(error))
    .slice(0, faultLimit);
}

function isNull(schema: unknown): boolean {
  return (schema as { type?: unknown } | undefined)?.type === 'null';
}

function isNullable({ keyword, parentSchema }: ErrorObject): boolean {
  if (keyword !== 'anyOf') return false;
  const { anyOf } = parentSchema as { anyOf: unknown[] };
  return anyOf.length === 2 && isNull(anyOf[1]);
}

function pointerOf(error: ErrorObject): string {
  const params = error.params as Record<string, unknown>;
  const member = params['additionalProperty'] ?? params['missingProperty'];
  if (error.keyword !== 'additionalProperties' && error.keyword !== 'required') return error.instancePath;
  return `${error.instancePath}/${String(member).slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function parameterOf(error: ErrorObject): string {
  return pointerOf(error).split('/')[1] ?? '';
}

/** The message of an error with one or more faults: the first, and how many follow. */
function headline(errors: readonly FieldError[]): string {
  const [first, ...others] = errors;
  const place = first?.pointer ?? first?.parameter ?? '';
  const rest = others.length === 0 ? '' : ` (and ${others.length} more, see errors)`;
  return `${place === '' ? '' : `${place}: `}${first?.message ?? 'The input is not valid.'}${rest}`;
}

/** Validates a JSON body, whose members then have the declared names. */
export function bodyValidator(schema: TSchema): (body: unknown) => void {
  const check = ajv.compile(schema);
  return (body) => {
    // Aliases are considered only if the body is invalid as it is.
    if (check(body) || (renameMembers(schema, body) && check(body))) return;
    const errors = telling(check.errors ?? []).map((error) => ({
      pointer: pointerOf(error),
      message: describe(error),
    }));
    throw new ApiError('invalid_body', headline(errors), { errors });
  };
}

/** Validates path or query parameters, which arrive as pairs of strings, and converts them to their declared types. */
export function parameterValidator(
  schema: TObject,
): (raw: Iterable<[string, string]>) => Record<string, unknown> {
  const check: ValidateFunction = ajv.compile(schema);
  const properties = schema.properties as Properties;
  return (raw) => {
    const value: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    const faults: FieldError[] = [];
    for (const [name, text] of raw) {
      const declared = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (declared?.['type'] === 'array') {
        const list = (value[name] ??= []) as unknown[];
        list.push(typed(text, declared['items'] as Record<string, unknown>));
      } else if (declared !== undefined && name in value) {
        faults.push({ parameter: name, message: 'Given more than once.' });
      } else {
        value[name] = declared === undefined ? text : typed(text, declared);
      }
    }
    if (!check(value)) {
      const wrong = telling(check.errors ?? []);
      faults.push(...wrong.map((error) => ({ parameter: parameterOf(error), message: describe(error) })));
    }
    if (faults.length > 0) throw new ApiError('invalid_parameter', headline(faults), { errors: faults });
    return value;
  };
}

/** A string converted to its schema's type. If it does not fit, it stays a string, to be refused by the validation. */
function typed(text: string, schema: Record<string, unknown>): unknown {
  // Number() would also accept "", " 3", "1e2" and "0x10".
  if (schema['type'] === 'integer') return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : text;
  if (schema['type'] === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

/** Compiles a schema only to show a mistake in it. */
export function assertSchema(schema: TSchema): void {
  if (ajv.validateSchema(schema) !== true) throw new Error(`schema is invalid: ${ajv.errorsText()}`);
  ajv.compile(schema);
  // Otherwise the compiled but unused check would stay in memory with its source.
  ajv.removeSchema(schema);
}
