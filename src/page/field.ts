/** The fields of a form, from the schema of what the form sends. */

export interface FormField {
  id: string;
  /** As a form without a script sends it: `metadata[name]`. */
  name: string;
  /** The same as a JSON array, for the script. */
  path: string;
  label: string;
  description?: string | undefined;
  kind: 'text' | 'number' | 'checkbox' | 'select' | 'textarea';
  type: 'string' | 'number' | 'boolean' | 'list' | 'json';
  isRequired: boolean;
  options?: readonly string[];
  min?: number | undefined;
  max?: number | undefined;
  maxLength?: number | undefined;
  value?: unknown;
  /** The value as the field shows it. */
  text: string;
}

export interface FieldSchema {
  type?: string;
  description?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: FieldSchema[];
  items?: FieldSchema;
  properties?: Record<string, FieldSchema>;
  required?: string[];
  readOnly?: boolean;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
}

/** The choices of an enumeration of texts. */
function optionsOf({ enum: values, anyOf }: FieldSchema): string[] | undefined {
  const choices = values ?? anyOf?.flatMap((one) => (one.type === 'null' ? [] : [one.const]));
  if (choices === undefined || choices.length === 0) return undefined;
  return choices.every((one): one is string => typeof one === 'string') ? choices : undefined;
}

/** Without the alternative null. */
function present(schema: FieldSchema): FieldSchema {
  const others = (schema.anyOf ?? []).filter(({ type }) => type !== 'null');
  const [only] = others;
  if (only === undefined || others.length > 1) return schema;
  return { ...only, ...(schema.description === undefined ? {} : { description: schema.description }) };
}

function kindOf(schema: FieldSchema): Pick<FormField, 'kind' | 'type'> & { options?: string[] } {
  const options = optionsOf(schema);
  if (options !== undefined) return { kind: 'select', type: 'string', options };
  switch (schema.type) {
    case 'integer':
    case 'number':
      return { kind: 'number', type: 'number' };
    case 'boolean':
      return { kind: 'checkbox', type: 'boolean' };
    case 'string':
      return { kind: (schema.maxLength ?? 0) > 1000 ? 'textarea' : 'text', type: 'string' };
    case 'array':
      return { kind: 'textarea', type: schema.items?.type === 'string' ? 'list' : 'json' };
    case undefined:
    default:
      return { kind: 'textarea', type: 'json' };
  }
}

function shown(value: unknown, type: FormField['type']): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  return type === 'list' && Array.isArray(value) ? value.join('\n') : JSON.stringify(value, undefined, 2);
}

interface Place {
  form: string;
  path: readonly string[];
  isRequired: boolean;
  value: unknown;
}

function fieldOf(schema: FieldSchema, { form, path, isRequired, value }: Place): FormField {
  const { description, minimum, maximum, maxLength } = schema;
  const kind = kindOf(schema);
  const [first = '', ...rest] = path;
  const note = kind.type === 'list' ? 'One in each line.' : kind.type === 'json' ? 'In JSON.' : '';
  const hint = [description ?? '', note].filter((one) => one !== '').join(' ');
  return {
    ...{ ...kind, isRequired, maxLength, value },
    id: `${form}-${path.join('-').replaceAll(/[^\w-]/g, '_')}`,
    name: first + rest.map((one) => `[${one}]`).join(''),
    path: JSON.stringify(path),
    label: path.map((one) => one.replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase()).join(', '),
    description: hint === '' ? undefined : hint,
    min: minimum,
    max: maximum,
    text: shown(value, kind.type),
  };
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** The fields of an object, and of the objects within it. `value`: what they show at first. */
export function fieldsOf(schema: FieldSchema, place: Place): FormField[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, declared]) => {
    const member = present(declared);
    if (declared.readOnly === true || member.readOnly === true) return [];
    const inner = {
      form: place.form,
      path: [...place.path, name],
      isRequired: place.isRequired && schema.required?.includes(name) === true,
      value: memberOf(place.value, name),
    };
    return member.type === 'object' && member.properties !== undefined
      ? fieldsOf(member, inner)
      : [fieldOf(member, inner)];
  });
}
