/** What superusers change while the site runs: settings, service flags and the banner. Model: Evergreen's admin routes. */
import { type Static, Type } from 'typebox';
import { Name, Uuid } from './common.js';
import { type MergePatch, patchOf } from './merge-patch.js';
import { taskInputs, type TaskType } from './task.js';

const closed = { additionalProperties: false };

/** The lowest limit that can be set: with it, superusers can still set another one. */
export const leastRequests = 10;

const requests = Type.Integer({
  minimum: 0,
  maximum: 1_000_000_000,
  description: `Requests that one user may send in each window: at least ${leastRequests}, or 0 for no limit.`,
});

const Days = (description: string) =>
  Type.Number({ exclusiveMinimum: 0, maximum: 36_500, description, examples: [30] });

const lifetimes = {
  defaultLifetime: Days('Days after which an instance expires if its create names no expiry. Absent: never.'),
  maxLifetime: Days('How far in the future, in days, the expiry of an instance may be.'),
  expiryWarning: Type.Number({
    minimum: 0,
    maximum: 8784,
    description: 'Hours before its expiry at which an instance is marked.',
  }),
  trash: Type.Number({
    minimum: 0,
    maximum: 8784,
    description: 'Hours for which a deleted instance can be restored; 0: it is removed at once.',
  }),
};

/** What is stored: only what differs from the configuration. */
export const StoredSettings = Type.Object(
  {
    superUsers: Type.Optional(
      Type.Array(Name, {
        maxItems: 1000,
        uniqueItems: true,
        description: 'Names of users who are superusers, in addition to those in the configuration.',
      }),
    ),
    limits: Type.Optional(
      Type.Object({ requests: Type.Optional(requests) }, { title: 'LimitSettings', ...closed }),
    ),
    instances: Type.Optional(
      Type.Object(
        {
          defaultLifetime: Type.Optional(lifetimes.defaultLifetime),
          maxLifetime: Type.Optional(lifetimes.maxLifetime),
          expiryWarning: Type.Optional(lifetimes.expiryWarning),
          trash: Type.Optional(lifetimes.trash),
        },
        { title: 'LifetimeSettings', ...closed },
      ),
    ),
  },
  { title: 'Settings', ...closed },
);
export type StoredSettings = Static<typeof StoredSettings>;

export const SettingsPatch = patchOf(StoredSettings);
export type SettingsPatch = MergePatch<StoredSettings>;

const effective = {
  superUsers: Type.Array(Name),
  limits: Type.Object(
    {
      requests,
      window: Type.Integer({
        minimum: 1,
        description: 'Length of the window in seconds, from the configuration.',
      }),
    },
    { title: 'EffectiveLimits', ...closed },
  ),
  instances: Type.Object(
    {
      defaultLifetime: Type.Optional(lifetimes.defaultLifetime),
      maxLifetime: lifetimes.maxLifetime,
      expiryWarning: lifetimes.expiryWarning,
      trash: lifetimes.trash,
    },
    { title: 'EffectiveLifetimes', ...closed },
  ),
};

export const Configured = Type.Object(effective, {
  title: 'ConfiguredSettings',
  ...closed,
  description: 'Values from the configuration; they apply to every setting that is not set.',
});
export type Configured = Static<typeof Configured>;

/** The settings in force. `superUsers`: those that are set; those of the configuration are superusers too. */
export const Settings = Type.Object(
  { ...effective, configured: Configured },
  { title: 'Settings', ...closed },
);
export type Settings = Static<typeof Settings>;

export function effectiveSettings(stored: StoredSettings, configured: Configured): Settings {
  return {
    superUsers: stored.superUsers ?? [],
    limits: { ...configured.limits, ...stored.limits },
    instances: { ...configured.instances, ...stored.instances },
    configured,
  };
}

/** What can be switched off. Each has a flag of the same name, which is on by default. */
const flagMeanings = {
  creation: 'Whether instances can be created.',
  hooks: 'Whether events of other systems are accepted (`POST /hooks/…`).',
  imports: 'Whether data can be brought in from elsewhere, such as images.',
  signIn: 'Whether sessions can begin. Those that exist continue, and API keys are not affected.',
  ...(Object.fromEntries(
    Object.keys(taskInputs).map((type) => [
      type,
      `Whether workers begin ${type} tasks. While it is off, such tasks wait.`,
    ]),
  ) as Record<TaskType, string>),
};

export type FlagName = keyof typeof flagMeanings;
export const flagNames = Object.keys(flagMeanings) as FlagName[];

/** The task types whose flags are on; undefined: all. */
export function enabledTypes(flags: StoredFlags): TaskType[] | undefined {
  const types = Object.keys(taskInputs) as TaskType[];
  const enabled = types.filter((type) => flags[type] !== false);
  return enabled.length === types.length ? undefined : enabled;
}

/** What is stored: only the flags that are off. */
export type StoredFlags = Partial<Record<FlagName, false>>;

const flag = (name: FlagName) => Type.Boolean({ description: flagMeanings[name] });

export const ServiceFlags = Type.Unsafe<Record<FlagName, boolean>>(
  Type.Object(Object.fromEntries(flagNames.map((name) => [name, flag(name)])), {
    title: 'ServiceFlags',
    ...closed,
  }),
);

export const ServiceFlagsWrite = Type.Object(
  Object.fromEntries(flagNames.map((name) => [name, Type.Optional(flag(name))])),
  { title: 'ServiceFlagsWrite', ...closed },
);
export type ServiceFlagsWrite = Partial<Record<FlagName, boolean>>;

export const ServiceFlagsPatch = Type.Object(
  Object.fromEntries(flagNames.map((name) => [name, Type.Optional(Type.Union([flag(name), Type.Null()]))])),
  { title: 'ServiceFlagsPatch', ...closed },
);
export type ServiceFlagsPatch = Partial<Record<FlagName, boolean | null>>;

export function presentFlags(flags: StoredFlags): Record<FlagName, boolean> {
  return Object.fromEntries(flagNames.map((name) => [name, flags[name] !== false])) as Record<
    FlagName,
    boolean
  >;
}

/** The stored form of flags; those that are omitted, or null, are on. */
export function storedFlags(flags: ServiceFlagsPatch): StoredFlags {
  return Object.fromEntries(flagNames.filter((name) => flags[name] === false).map((name) => [name, false]));
}

export const Banner = Type.Object(
  {
    banner: Type.String({
      maxLength: 2000,
      description: 'Plain text shown to everyone. If empty, there is no banner.',
    }),
    theme: Type.Union(
      [
        Type.Literal(''),
        Type.Literal('announcement'),
        Type.Literal('information'),
        Type.Literal('warning'),
        Type.Literal('important'),
      ],
      { description: 'How clients should show it.' },
    ),
  },
  { title: 'Banner', ...closed },
);
export type Banner = Static<typeof Banner>;

export const Revert = Type.Object(
  { id: { ...Uuid, description: 'Id of the record in the audit trail whose change is to be undone.' } },
  { title: 'Revert', ...closed },
);
