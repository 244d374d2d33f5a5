/** The sub-resources `members` and `owners` of every resource that declares them (memberRows). */
import { Type } from 'typebox';
import type { Peopling, PeopledType } from '../data/member.js';
import { Uuid } from '../model/common.js';
import { Member, MemberUpdate, Owner, Role } from '../model/member.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import type { Guard } from './guard.js';
import { listHandler } from './list-handler.js';
import type { ResponseData } from './pipeline/response.js';
import { defineHandler, type Row } from './route.js';

/** A resource that has members. */
export interface WithMembers {
  type: PeopledType;
  /** Of one resource, such as `/projects/{projectID}`. */
  path: string;
  /** Who sees its members, and who changes them. */
  read: Guard;
  write: Guard;
}

/** What the handlers of one type of resources share. */
interface Place {
  type: PeopledType;
  /** Beginning of the names of operations ends with it. */
  name: string;
  tags: string[];
  /** The path parameter. */
  params: Record<string, typeof Uuid>;
  /** The resource that a path names. */
  of: (params: object) => Peopling;
  /** Address of the list of a resource. */
  addressOf: (id: string, list: 'members' | 'owners') => string;
}

const closed = { additionalProperties: false };

/** The response to a new member, or owner. */
const added = (address: string, member: Member): ResponseData => ({
  result: member,
  metadata: { status: 201, location: `${address}/${member.userId}` },
});

const userIn = (params: object) => (params as { userID: string }).userID;

function listOfMembers({ type, name, tags, params, of }: Place) {
  return listHandler(
    {
      operationId: `list${name}Members`,
      summary: `Who is in the ${type}: admins first, then operators, then readers`,
      tags,
      params: Type.Object(params, closed),
      query: Type.Object({ role: Type.Optional(Role) }, closed),
      responses: {
        200: { description: 'A page of members.', schema: Type.Array(Member), headers: ['Link'] },
      },
    },
    {
      args: ({ params: path, query, context }) => ({ caller: callerOf(context), of: of(path), ...query }),
      list: (connector, { caller, of: from, role }, page) => connector.members.list(caller, from, page, role),
    },
  );
}

/** Model: InfluxDB's owners, which are the admins here. */
function listOfOwners({ type, name, tags, params, of }: Place) {
  return listHandler(
    {
      operationId: `list${name}Owners`,
      summary: `The admins of the ${type}`,
      tags,
      params: Type.Object(params, closed),
      responses: { 200: { description: 'A page of admins.', schema: Type.Array(Member), headers: ['Link'] } },
    },
    {
      args: ({ params: path, context }) => ({ caller: callerOf(context), of: of(path) }),
      list: (connector, { caller, of: from }, page) => connector.members.list(caller, from, page, 'admin'),
    },
  );
}

function addingMember({ type, name, tags, params, of, addressOf }: Place) {
  return defineHandler(
    {
      operationId: `add${name}Member`,
      summary: `Add a user to the ${type}`,
      tags,
      params: Type.Object(params, closed),
      body: Member,
      example: { userId: exampleIds.userID, role: 'reader' },
      responses: { 201: { description: 'The member.', schema: Member, headers: ['Location'] } },
      errors: ['already_exists', 'unprocessable', 'conflict', 'precondition_failed'],
    },
    {
      parse: ({ params: path, body, context }) => {
        const to = of(path);
        const address = addressOf(to.id, 'members');
        return { caller: callerOf(context, () => added(address, body)), to, address, body };
      },
      execute: async (connector, { caller, to, address, body }) =>
        added(address, await connector.members.add(caller, to, body)),
    },
  );
}

function addingOwner({ type, name, tags, params, of, addressOf }: Place) {
  return defineHandler(
    {
      operationId: `add${name}Owner`,
      summary: `Make a user an admin of the ${type}`,
      description: `Whether or not the user is in the ${type}.`,
      tags,
      params: Type.Object(params, closed),
      body: Owner,
      example: { userId: exampleIds.userID },
      responses: { 201: { description: 'The admin.', schema: Member, headers: ['Location'] } },
      errors: ['not_found', 'already_exists', 'unprocessable', 'conflict', 'precondition_failed'],
    },
    {
      parse: ({ params: path, body: { userId }, context }) => {
        const to = of(path);
        const address = addressOf(to.id, 'owners');
        return {
          caller: callerOf(context, () => added(address, { userId, role: 'admin' })),
          to,
          address,
          userId,
        };
      },
      execute: async (connector, { caller, to, address, userId }) =>
        added(address, await connector.members.addOwner(caller, to, userId)),
    },
  );
}

function changingMember({ type, name, tags, params, of }: Place) {
  return defineHandler(
    {
      operationId: `change${name}Member`,
      summary: 'Change the role of a member',
      description: `The last admin of the ${type} must remain an admin (409).`,
      tags,
      params: Type.Object({ ...params, userID: Uuid }, closed),
      body: MemberUpdate,
      example: { role: 'operator' },
      responses: { 200: { description: 'The member.', schema: Member } },
      errors: ['in_use', 'conflict', 'precondition_failed'],
    },
    {
      parse: ({ params: path, body, context }) => ({
        caller: callerOf(context),
        of: of(path),
        userId: userIn(path),
        ...body,
      }),
      execute: async (connector, { caller, of: from, userId, role }) => ({
        result: await connector.members.change(caller, from, userId, role),
      }),
    },
  );
}

function removing({ type, name, tags, params, of }: Place, what: 'Member' | 'Owner') {
  const role = what === 'Owner' ? 'admin' : undefined;
  return defineHandler(
    {
      operationId: `remove${name}${what}`,
      summary: role === undefined ? `Remove a user from the ${type}` : `Remove an admin from the ${type}`,
      description:
        role === undefined
          ? 'Resources created by the user remain. The last admin cannot be removed (409).'
          : 'A member in another role is not found here. The last admin is not removed.',
      tags,
      params: Type.Object({ ...params, userID: Uuid }, closed),
      responses: { 204: { description: `The user is no longer in the ${type}.` } },
      errors: ['in_use', 'conflict', 'precondition_failed'],
    },
    {
      parse: ({ params: path, context }) => ({
        caller: callerOf(context),
        of: of(path),
        userId: userIn(path),
      }),
      execute: async (connector, { caller, of: from, userId }) => {
        await connector.members.remove(caller, from, userId, role);
        return {};
      },
    },
  );
}

/** The routes of the sub-resources `members` and `owners`. */
export function memberRows({ type, path, read, write }: WithMembers): Row[] {
  const parameter = /\{(\w+)\}$/.exec(path)?.[1];
  if (parameter === undefined) throw new Error(`${path} does not end with the id of a resource`);
  const place: Place = {
    type,
    name: `${type.charAt(0).toUpperCase()}${type.slice(1)}`,
    tags: [`${type}s`],
    params: { [parameter]: Uuid },
    of: (params) => ({ type, id: (params as Record<string, string>)[parameter] ?? '' }),
    addressOf: (id, list) => `/api/v2${path.replace(`{${parameter}}`, id)}/${list}`,
  };
  return [
    [2, 'GET', `${path}/members`, read, listOfMembers(place)],
    [2, 'POST', `${path}/members`, write, addingMember(place)],
    [2, 'PUT', `${path}/members/{userID}`, write, changingMember(place)],
    [2, 'DELETE', `${path}/members/{userID}`, write, removing(place, 'Member')],
    [2, 'GET', `${path}/owners`, read, listOfOwners(place)],
    [2, 'POST', `${path}/owners`, write, addingOwner(place)],
    [2, 'DELETE', `${path}/owners/{userID}`, write, removing(place, 'Owner')],
  ];
}
