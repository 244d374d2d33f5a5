/** What a user has set for themselves. Path and partial POST: Evergreen's user settings. */
import { Type, type Static } from 'typebox';
import { ApiError } from './error.js';
import { type MergePatch, patchOf } from './merge-patch.js';

const closed = { additionalProperties: false };

const timezone = Type.String({
  minLength: 1,
  maxLength: 64,
  description: 'IANA name of a time zone, for clients that show times. The API itself uses UTC.',
  examples: ['Europe/Berlin'],
});

const notifications = {
  instanceExpiration: Type.Boolean({ description: 'That an instance of theirs is about to expire.' }),
  taskFailure: Type.Boolean({ description: 'That a task that they have requested has failed.' }),
};

export const UserSettings = Type.Object(
  {
    timezone,
    notifications: Type.Object(notifications, {
      title: 'NotificationSettings',
      ...closed,
      description: 'What the user wants to be told of, for whoever notifies them.',
    }),
  },
  { title: 'UserSettings', ...closed },
);
export type UserSettings = Static<typeof UserSettings>;

/** What is stored: only what the user has set. */
export const StoredUserSettings = Type.Object(
  {
    timezone: Type.Optional(timezone),
    notifications: Type.Optional(
      Type.Object(
        {
          instanceExpiration: Type.Optional(notifications.instanceExpiration),
          taskFailure: Type.Optional(notifications.taskFailure),
        },
        { title: 'NotificationSettingsWrite', ...closed },
      ),
    ),
  },
  { title: 'UserSettingsWrite', ...closed },
);
export type StoredUserSettings = Static<typeof StoredUserSettings>;

export const UserSettingsPatch = patchOf(StoredUserSettings);
export type UserSettingsPatch = MergePatch<StoredUserSettings>;

export function presentUserSettings({
  timezone: zone,
  notifications: wanted,
}: StoredUserSettings): UserSettings {
  return {
    timezone: zone ?? 'UTC',
    notifications: { instanceExpiration: true, taskFailure: true, ...wanted },
  };
}

/** Throws if there is no such time zone. */
export function checkUserSettings({ timezone: zone }: StoredUserSettings): void {
  if (zone === undefined) return;
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch (cause) {
    const message = `There is no time zone "${zone}"; an IANA name such as Europe/Berlin is expected.`;
    throw new ApiError('unprocessable', message, { cause, errors: [{ pointer: '/timezone', message }] });
  }
}
