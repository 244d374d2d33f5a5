/** Labels, and the sub-resource `labels` of every resource that declares it (labelRows). */
import { Type } from 'typebox';
import type { Accepted } from '../data/caller.js';
import type { LabelledType } from '../data/label.js';
import { Uuid } from '../model/common.js';
import { Label, LabelCreate, LabelPatch, LabelReference, presentLabel } from '../model/label.js';
import { changed, createdIn } from './answer.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import type { Guard } from './guard.js';
import { listHandler } from './list-handler.js';
import { JsonText, type ResponseData } from './pipeline/response.js';
import { defineHandler, type Row } from './route.js';

const tags = ['labels'];

/** The filter of lists of resources that have labels. */
export const labelFilter = {
  labelID: Type.Optional(
    Type.Array(Uuid, { maxItems: 32, description: 'Only what has all of these labels.' }),
  ),
};

const labelParams = Type.Object({ labelID: Uuid }, { additionalProperties: false });

/** GET /api/v2/labels */
export const listLabels = listHandler(
  {
    operationId: 'listLabels',
    summary: 'Labels of the caller’s projects and of their organizations, oldest first',
    tags,
    query: Type.Object(
      {
        organizationID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
      },
      { additionalProperties: false },
    ),
    responses: { 200: { description: 'A page of labels.', schema: Type.Array(Label), headers: ['Link'] } },
  },
  {
    args: ({ query, context }) => ({
      caller: callerOf(context),
      filter: { organizationIds: query.organizationID, projectIds: query.projectID },
    }),
    list: (connector, { caller, filter }, page) => connector.labels.list(caller, filter, page),
  },
);

const created = createdIn('/api/v2/labels');

/** POST /api/v2/labels */
export const createLabel = defineHandler(
  {
    operationId: 'createLabel',
    summary: 'Create a label of a project, or of all projects of an organization',
    description:
      'Who may operate in a project creates its labels; superusers create those of an organization. Names are unique in each.',
    tags,
    body: LabelCreate,
    example: {
      metadata: { name: 'example' },
      spec: { projectId: exampleIds.projectID, properties: { color: '#6b8e23' } },
    },
    responses: { 201: { description: 'The label.', schema: Label, headers: ['Location', 'ETag'] } },
    errors: ['name_taken', 'not_found', 'forbidden', 'unprocessable'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, created), body }),
    execute: async (connector, { caller, body }) => created(await connector.labels.create(caller, body)),
  },
);

/** GET /api/v2/labels/{labelID} */
export const getLabel = defineHandler(
  {
    operationId: 'getLabel',
    summary: 'One label',
    tags,
    params: labelParams,
    responses: { 200: { description: 'The label.', schema: Label, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.labelID }),
    execute: async (connector, { caller, id }) => {
      const { value, revision } = await connector.labels.get(caller, id);
      return { result: presentLabel(id, value), metadata: { revision } };
    },
  },
);

/** PATCH /api/v2/labels/{labelID} */
export const patchLabel = defineHandler(
  {
    operationId: 'patchLabel',
    summary: 'Rename or describe a label, set and remove its properties',
    description: 'A JSON merge patch (RFC 7396).',
    tags,
    params: labelParams,
    body: LabelPatch,
    example: { spec: { properties: { color: '#8b4513', icon: null } } },
    responses: { 200: { description: 'The label.', schema: Label, headers: ['ETag'] } },
    errors: ['name_taken', 'forbidden', 'unprocessable', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, body, context }) => ({ caller: callerOf(context, changed), id: params.labelID, body }),
    execute: async (connector, { caller, id, body }) =>
      changed(await connector.labels.patch(caller, id, body)),
  },
);

/** DELETE /api/v2/labels/{labelID} */
export const deleteLabel = defineHandler(
  {
    operationId: 'deleteLabel',
    summary: 'Delete a label, and take it off whatever has it',
    tags,
    params: labelParams,
    responses: { 204: { description: 'The label is gone.' } },
    errors: ['forbidden', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.labelID }),
    execute: async (connector, { caller, id }) => {
      await connector.labels.delete(caller, id);
      return {};
    },
  },
);

/** A resource that has labels. */
export interface Labelled {
  type: LabelledType;
  /** Of one resource, such as `/instances/{instanceID}`. */
  path: string;
  /** Who sees its labels, and who changes them. */
  read: Guard;
  write: Guard;
}

/** What the handlers of one type of resources share. */
interface Place {
  type: LabelledType;
  /** Name of the path parameter. */
  parameter: string;
  /** Ending of the operations' names. */
  name: string;
  /** Address of the labels of a resource. */
  addressOf: (id: string) => string;
}

function paramIn(params: object, name: string): string {
  return (params as Record<string, string>)[name] ?? '';
}

function listOf({ type, parameter, name }: Place) {
  return defineHandler(
    {
      operationId: `list${name}s`,
      summary: `The labels of the ${type}, by name`,
      tags,
      params: Type.Object({ [parameter]: Uuid }, { additionalProperties: false }),
      responses: { 200: { description: 'All of them.', schema: Type.Array(Label) } },
    },
    {
      parse: ({ params, context }) => ({ caller: callerOf(context), id: paramIn(params, parameter) }),
      execute: async (connector, { caller, id }) => ({
        result: await connector.labels.ofResource(caller, type, id),
      }),
    },
  );
}

function attachTo({ type, parameter, name, addressOf }: Place) {
  const attached =
    (id: string) =>
    ({ id: labelId, text = '' }: Accepted): ResponseData => ({
      result: new JsonText(text),
      metadata: { status: 201, location: `${addressOf(id)}/${labelId}` },
    });
  return defineHandler(
    {
      operationId: `add${name}`,
      summary: `Put a label on the ${type}`,
      tags,
      params: Type.Object({ [parameter]: Uuid }, { additionalProperties: false }),
      body: LabelReference,
      example: { labelID: exampleIds.labelID },
      responses: { 201: { description: 'The label.', schema: Label, headers: ['Location'] } },
      errors: ['not_found', 'already_exists', 'unprocessable', 'conflict'],
    },
    {
      parse: ({ params, body, context }) => {
        const id = paramIn(params, parameter);
        return { caller: callerOf(context, attached(id)), id, labelId: body.labelID };
      },
      execute: async (connector, { caller, id, labelId }) =>
        attached(id)(await connector.labels.attach(caller, type, id, labelId)),
    },
  );
}

function detachFrom({ type, parameter, name }: Place) {
  return defineHandler(
    {
      operationId: `remove${name}`,
      summary: `Take a label off the ${type}`,
      tags,
      params: Type.Object({ [parameter]: Uuid, labelID: Uuid }, { additionalProperties: false }),
      responses: { 204: { description: `The ${type} does not have the label any more.` } },
      errors: ['conflict'],
    },
    {
      parse: ({ params, context }) => ({
        caller: callerOf(context),
        id: paramIn(params, parameter),
        labelId: paramIn(params, 'labelID'),
      }),
      execute: async (connector, { caller, id, labelId }) => {
        await connector.labels.detach(caller, type, id, labelId);
        return {};
      },
    },
  );
}

/** The routes of the sub-resource `labels`. */
export function labelRows({ type, path, read, write }: Labelled): Row[] {
  const parameter = /\{(\w+)\}$/.exec(path)?.[1];
  if (parameter === undefined) throw new Error(`${path} does not end with the id of a resource`);
  const place: Place = {
    type,
    parameter,
    name: `${type.charAt(0).toUpperCase()}${type.slice(1)}Label`,
    addressOf: (id) => `/api/v2${path.replace(`{${parameter}}`, id)}/labels`,
  };
  return [
    [2, 'GET', `${path}/labels`, read, listOf(place)],
    [2, 'POST', `${path}/labels`, write, attachTo(place)],
    [2, 'DELETE', `${path}/labels/{labelID}`, write, detachFrom(place)],
  ];
}
