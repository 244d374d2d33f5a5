import { Type } from 'typebox';
import { Name } from '../model/common.js';
import { SshKey, SshKeyCreate } from '../model/ssh-key.js';
import type { Accepted } from '../data/caller.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';
import { JsonText, type ResponseData } from './pipeline/response.js';
import { defineHandler } from './route.js';

/** GET /api/v2/keys */
export const listSshKeys = listHandler(
  {
    operationId: 'listSshKeys',
    summary: 'The caller’s SSH public keys, oldest first',
    tags: ['users'],
    responses: { 200: { description: 'A page of keys.', schema: Type.Array(SshKey), headers: ['Link'] } },
  },
  {
    args: ({ context }) => callerOf(context),
    list: (connector, caller, page) => connector.sshKeys.list(caller, page),
  },
);

const created = ({ text = '' }: Accepted): ResponseData => ({
  result: new JsonText(text),
  metadata: { status: 201, location: '/api/v2/keys' },
});

/** POST /api/v2/keys */
export const createSshKey = defineHandler(
  {
    operationId: 'createSshKey',
    summary: 'Store an SSH public key of the caller',
    tags: ['users'],
    body: SshKeyCreate,
    example: {
      name: 'example',
      key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILlJ00ktqqNbJVp97Hnt5O7/6eTrUmoH/cOBW+H/gmiX me@example',
    },
    responses: { 201: { description: 'The key.', schema: SshKey, headers: ['Location'] } },
    errors: ['unprocessable', 'name_taken', 'already_exists'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, created), body }),
    execute: async (connector, { caller, body }) => created(await connector.sshKeys.create(caller, body)),
  },
);

/** DELETE /api/v2/keys/{keyName} */
export const deleteSshKey = defineHandler(
  {
    operationId: 'deleteSshKey',
    summary: 'Remove an SSH public key of the caller',
    tags: ['users'],
    params: Type.Object({ keyName: Name }, { additionalProperties: false }),
    responses: { 204: { description: 'The key was removed.' } },
    errors: ['conflict'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), name: params.keyName }),
    execute: async (connector, { caller, name }) => {
      await connector.sshKeys.delete(caller, name);
      return {};
    },
  },
);
