/** The first superuser, created over the API. Path and probe: InfluxDB's onboarding. */
import { Type, type Static } from 'typebox';
import { NewApiKey } from './api-key.js';
import { Name } from './common.js';
import { Organization } from './organization.js';
import { Project } from './project.js';
import { User } from './user.js';

/** That the site has been set up: its first superuser, and how they were created. */
export interface SetupRecord {
  userId: string;
  by: 'start' | 'api' | 'command';
  time: string;
}

export const SetupState = Type.Object(
  { allowed: Type.Boolean({ description: 'Whether the first superuser can be created here now.' }) },
  { title: 'SetupState', additionalProperties: false },
);
export type SetupState = Static<typeof SetupState>;

export const SetupRequest = Type.Object(
  {
    username: Name,
    organization: Type.Optional({ ...Name, default: 'default' }),
    project: Type.Optional({ ...Name, default: 'default' }),
  },
  { title: 'SetupRequest', additionalProperties: false },
);
export type SetupRequest = Static<typeof SetupRequest>;

export const SetupResult = Type.Object(
  { user: User, organization: Organization, project: Project, apiKey: NewApiKey },
  { title: 'SetupResult', additionalProperties: false },
);
export type SetupResult = Static<typeof SetupResult>;
