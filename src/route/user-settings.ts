import { StoredUserSettings, UserSettings, UserSettingsPatch } from '../model/user-settings.js';
import { changed } from './answer.js';
import { callerOf } from './caller.js';
import { defineHandler } from './route.js';

const settled = {
  200: { description: 'The settings in force.', schema: UserSettings, headers: ['ETag'] },
} as const;

/** GET /api/v2/user/settings */
export const getUserSettings = defineHandler(
  {
    operationId: 'getUserSettings',
    summary: 'The caller’s own settings',
    tags: ['users'],
    responses: settled,
  },
  {
    parse: ({ context }) => callerOf(context),
    execute: async (connector, caller) => {
      const { value, revision } = await connector.userSettings.get(caller);
      return { result: value, metadata: { revision } };
    },
  },
);

/** POST /api/v2/user/settings. Model: Evergreen's, which changes whole members. */
export const setUserSettings = defineHandler(
  {
    operationId: 'setUserSettings',
    summary: 'Set some of the caller’s own settings',
    description: 'Each member that is given is replaced as a whole; the others stay.',
    tags: ['users'],
    body: StoredUserSettings,
    example: { timezone: 'Europe/Berlin' },
    responses: settled,
    errors: ['unprocessable', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, changed), body }),
    execute: async (connector, { caller, body }) =>
      changed(await connector.userSettings.replace(caller, body)),
  },
);

/** PATCH /api/v2/user/settings */
export const patchUserSettings = defineHandler(
  {
    operationId: 'patchUserSettings',
    summary: 'Change the caller’s own settings',
    description: 'A JSON merge patch (RFC 7396): null restores what is in force where nothing is set.',
    tags: ['users'],
    body: UserSettingsPatch,
    example: { timezone: null, notifications: { taskFailure: false } },
    responses: settled,
    errors: ['unprocessable', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, changed), body }),
    execute: async (connector, { caller, body }) => changed(await connector.userSettings.patch(caller, body)),
  },
);
