/** Labels: what an organization or a project calls things, with properties. Model: InfluxDB's labels. */
import { Type, type Static } from 'typebox';
import { defined, NamedMetadata, StaticMetadata, Uuid } from './common.js';
import { ApiError } from './error.js';
import { type MergePatch, patchOf } from './merge-patch.js';

export interface LabelRecord {
  name: string;
  description?: string;
  organizationId: string;
  /** Of a label of this project alone. */
  projectId?: string;
  properties: Record<string, string>;
  creationTime: string;
  createdBy: string;
  modifiedTime?: string;
  modifiedBy?: string;
  /** It is being taken off everything that has it. */
  deletionTime?: string;
}

/** A resource that has labels. */
export interface WithLabels {
  /** Ids, in the order in which they were put on. */
  labels?: string[];
}

/** Maximum number of properties. */
const propertyLimit = 64;

const Properties = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' }),
  Type.String({ maxLength: 1024 }),
  {
    additionalProperties: false,
    description: `Such as a color: at most ${propertyLimit} texts by name.`,
    examples: [{ color: '#6b8e23' }],
  },
);

export const Label = Type.Object(
  {
    metadata: StaticMetadata,
    spec: Type.Object(
      {
        organizationId: Uuid,
        projectId: Type.Optional({ ...Uuid, description: 'Only for this project; absent: for all of them.' }),
        properties: Properties,
      },
      { title: 'LabelSpec', additionalProperties: false },
    ),
  },
  { title: 'Label', additionalProperties: false },
);
export type Label = Static<typeof Label>;

export const LabelCreate = Type.Object(
  {
    metadata: NamedMetadata,
    spec: Type.Object(
      {
        organizationId: Type.Optional(Uuid),
        projectId: Type.Optional(Uuid),
        properties: Type.Optional(Properties),
      },
      {
        title: 'LabelCreateSpec',
        additionalProperties: false,
        description: 'With `projectId` a label of that project, otherwise one of the organization.',
      },
    ),
  },
  { title: 'LabelCreate', additionalProperties: false },
);
export type LabelCreate = Static<typeof LabelCreate>;

const PropertiesPatch = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' }),
  Type.Union([Type.String({ maxLength: 1024 }), Type.Null()]),
  { additionalProperties: false, description: 'null removes a property; those not named stay.' },
);

const LabelUpdate = Type.Object(
  {
    metadata: NamedMetadata,
    spec: Type.Object(
      { properties: PropertiesPatch },
      { title: 'LabelUpdateSpec', additionalProperties: false },
    ),
  },
  { title: 'LabelUpdate', additionalProperties: false },
);

export const LabelPatch = patchOf(LabelUpdate);
export type LabelPatch = MergePatch<Static<typeof LabelUpdate>>;

export const LabelReference = Type.Object(
  { labelID: { ...Uuid, description: 'A label of the project of the resource, or of its organization.' } },
  { title: 'LabelReference', additionalProperties: false },
);

export function presentLabel(id: string, label: LabelRecord): Label {
  const { name, description, creationTime, createdBy, modifiedTime, modifiedBy } = label;
  const { organizationId, projectId, properties } = label;
  return {
    metadata: defined({ id, name, description, creationTime, createdBy, modifiedTime, modifiedBy }),
    spec: defined({ organizationId, projectId, properties }),
  };
}

/** Throws if there are too many. */
export function checkProperties(properties: object): void {
  if (Object.keys(properties).length <= propertyLimit) return;
  const message = `A label has at most ${propertyLimit} properties.`;
  throw new ApiError('unprocessable', message, { errors: [{ pointer: '/spec/properties', message }] });
}
