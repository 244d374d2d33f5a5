/** What superusers change while the site runs, and how a change is undone. */
import type { Accepted, Caller } from '../data/caller.js';
import type { Connector } from '../data/connector.js';
import type { Document } from '../data/store/port.js';
import { AuditEvent } from '../model/audit.js';
import {
  Banner,
  presentFlags,
  Revert,
  ServiceFlags,
  ServiceFlagsPatch,
  ServiceFlagsWrite,
  Settings,
  SettingsPatch,
  type StoredFlags,
} from '../model/settings.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import type { RequestContext } from './pipeline/context.js';
import { JsonText, type ResponseData } from './pipeline/response.js';
import { defineHandler } from './route.js';

const tags = ['admin'];

const shown = ({ value, revision }: Document<object>): ResponseData => ({
  result: value,
  metadata: { revision },
});

const settingsAnswer = {
  200: { description: 'The effective settings.', schema: Settings, headers: ['ETag'] },
} as const;

/** GET /api/v2/admin/settings */
export const getSettings = defineHandler(
  {
    operationId: 'getSettings',
    summary: 'The effective settings',
    description:
      '`configured` has the values from the configuration; they apply to every setting that is not set.',
    tags,
    responses: settingsAnswer,
  },
  {
    parse: ({ context }) => callerOf(context),
    execute: async (connector, caller) => shown(await connector.settings.get(caller)),
  },
);

/** PATCH /api/v2/admin/settings */
export const patchSettings = defineHandler(
  {
    operationId: 'patchSettings',
    summary: 'Change settings',
    description:
      'A JSON merge patch (RFC 7396): omitted members stay, `null` restores the value from the configuration, a list is replaced as a whole. Takes effect immediately here, and in other processes within `tasks.notice` (0.2 s). A change that changes nothing writes nothing.',
    tags,
    body: SettingsPatch,
    example: { limits: { requests: 6000 }, instances: { defaultLifetime: null } },
    responses: settingsAnswer,
    errors: ['invalid_reference', 'precondition_failed', 'conflict'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context), body }),
    execute: async (connector, { caller, body }) => shown(await connector.settings.patch(caller, body)),
  },
);

const shownFlags = ({ value, revision }: Document<StoredFlags>): ResponseData => ({
  result: presentFlags(value),
  metadata: { revision },
});

/** The code of a handler that changes service flags. */
function flagsChange<B>(
  change: (connector: Connector, caller: Caller, body: B) => Promise<Document<StoredFlags>>,
) {
  return {
    parse: ({ body, context }: { body: B; context: RequestContext }) => ({ caller: callerOf(context), body }),
    execute: async (connector: Connector, { caller, body }: { caller: Caller; body: B }) =>
      shownFlags(await change(connector, caller, body)),
  };
}

const flagsAnswer = {
  200: { description: 'All service flags.', schema: ServiceFlags, headers: ['ETag'] },
} as const;

const flagEffects =
  'Takes effect immediately here, and in other processes within `tasks.notice` (0.2 s). While `creation` is off, creates are refused with 503 `switched_off`. While the flag of a task type is off, tasks of this type are accepted and wait; running ones continue.';

/** GET /api/v2/admin/service_flags */
export const getServiceFlags = defineHandler(
  {
    operationId: 'getServiceFlags',
    summary: 'Get the service flags',
    tags,
    responses: flagsAnswer,
  },
  {
    parse: ({ context }) => callerOf(context),
    execute: async (connector, caller) => shownFlags(await connector.settings.getFlags(caller)),
  },
);

/** PUT /api/v2/admin/service_flags */
export const putServiceFlags = defineHandler(
  {
    operationId: 'putServiceFlags',
    summary: 'Replace the service flags',
    description: `Omitted flags are on. ${flagEffects}`,
    tags,
    body: ServiceFlagsWrite,
    example: { creation: true },
    responses: flagsAnswer,
    errors: ['precondition_failed', 'conflict'],
  },
  flagsChange((connector, caller, flags: ServiceFlagsWrite) => connector.settings.putFlags(caller, flags)),
);

/** PATCH /api/v2/admin/service_flags */
export const patchServiceFlags = defineHandler(
  {
    operationId: 'patchServiceFlags',
    summary: 'Change some service flags',
    description: `Omitted flags stay; \`null\` is on. ${flagEffects}`,
    tags,
    body: ServiceFlagsPatch,
    example: { creation: true },
    responses: flagsAnswer,
    errors: ['precondition_failed', 'conflict'],
  },
  flagsChange((connector, caller, flags: ServiceFlagsPatch) => connector.settings.patchFlags(caller, flags)),
);

const bannerAnswer = { 200: { description: 'The banner.', schema: Banner, headers: ['ETag'] } } as const;

/** GET /api/v2/admin/banner */
export const getBanner = defineHandler(
  {
    operationId: 'getBanner',
    summary: 'Get the banner that clients show to everyone',
    tags,
    responses: bannerAnswer,
  },
  {
    parse: () => undefined,
    // From memory: whoever asks, and however often, causes no read.
    execute: (connector) => shown(connector.settings.banner),
  },
);

/** PUT /api/v2/admin/banner */
export const putBanner = defineHandler(
  {
    operationId: 'putBanner',
    summary: 'Set or clear the banner',
    tags,
    body: Banner,
    example: { banner: 'Maintenance tonight at 20:00 UTC.', theme: 'warning' },
    responses: bannerAnswer,
    errors: ['precondition_failed', 'conflict'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context), body }),
    execute: async (connector, { caller, body }) => shown(await connector.settings.putBanner(caller, body)),
  },
);

const reverted = ({ text = '' }: Accepted): ResponseData => ({
  result: new JsonText(text),
  metadata: { cacheControl: 'no-store' },
});

/** POST /api/v2/admin/revert */
export const revertChange = defineHandler(
  {
    operationId: 'revertChange',
    summary: 'Undo a change of the settings, the service flags or the banner',
    description:
      'Restores the state before the change that the audit record describes, unless the resource has been changed since. The response is the audit record of the restoration, which can itself be undone.',
    tags,
    body: Revert,
    example: { id: exampleIds.auditEventID },
    responses: { 200: { description: 'The new audit record.', schema: AuditEvent } },
    errors: [
      'not_found',
      'unprocessable',
      'changed_since',
      'not_revertible',
      'invalid_reference',
      'precondition_failed',
      'conflict',
    ],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, reverted), id: body.id }),
    execute: async (connector, { caller, id }) => reverted(await connector.reverts.revert(caller, id)),
  },
);
