import { Type } from 'typebox';
import type { PowerVerb } from '../model/power.js';
import { Task } from '../model/task.js';
import { acceptedAnswer, answerWhenEnded, callerOf } from './caller.js';
import { instanceParams, memberOnly } from './instance-access.js';
import type { Declaration } from './pipeline/handler.js';
import type { Route } from './route.js';
import { defineHandler } from './route.js';

const accepted: Declaration['responses'] = {
  202: { description: 'A task carries it out; follow Location.', headers: ['Location', 'Retry-After'] },
  200: {
    description: 'The client waited for the end of the task, which this is.',
    schema: Task,
    headers: ['ETag'],
  },
};

/** POST /api/v2/instances/{instanceID}/start and /stop */
function verb(name: Exclude<PowerVerb, 'reboot'>, summary: string, description: string) {
  return defineHandler(
    {
      operationId: `${name}Instance`,
      summary,
      description,
      tags: ['instances'],
      params: instanceParams,
      waits: true,
      responses: accepted,
      errors: ['power_state_conflict', 'instance_busy', 'being_deleted', 'conflict', 'precondition_failed'],
    },
    {
      parse: ({ params, context }) => ({
        caller: callerOf(context, acceptedAnswer),
        id: params.instanceID,
        wait: context.wait,
      }),
      execute: async (connector, { caller, id, wait }) =>
        answerWhenEnded(connector, caller, await connector.instances.power(caller, id, name), wait),
    },
  );
}

/** POST /api/v2/instances/{instanceID}/reboot */
const reboot = defineHandler(
  {
    operationId: 'rebootInstance',
    summary: 'Reboot an instance',
    description:
      'Asks the guest first, and cuts the power when it does not go down in time; with `hard=true` at once.',
    tags: ['instances'],
    params: instanceParams,
    query: Type.Object(
      {
        hard: Type.Optional(
          Type.Boolean({ default: false, description: 'Cut the power instead of asking the guest.' }),
        ),
      },
      { additionalProperties: false },
    ),
    waits: true,
    responses: accepted,
    errors: [
      'power_state_conflict',
      'instance_busy',
      'being_deleted',
      'conflict',
      'not_implemented',
      'precondition_failed',
    ],
  },
  {
    parse: ({ params, query, context }) => ({
      caller: callerOf(context, acceptedAnswer),
      id: params.instanceID,
      wait: context.wait,
      hard: query.hard ?? false,
    }),
    execute: async (connector, { caller, id, hard, wait }) =>
      answerWhenEnded(
        connector,
        caller,
        await connector.instances.power(caller, id, 'reboot', { hard }),
        wait,
      ),
  },
);

const start = verb(
  'start',
  'Start a stopped instance',
  'Repeating it while the start is under way shares its task.',
);
const stop = verb(
  'stop',
  'Stop a running instance',
  'Asks the guest to shut down and cuts the power after the region’s deadline.',
);

export const instancePowerRoutes: Route[] = [
  { route: '/instances/{instanceID}/start', version: 2, methods: [memberOnly('POST', start)] },
  { route: '/instances/{instanceID}/stop', version: 2, methods: [memberOnly('POST', stop)] },
  { route: '/instances/{instanceID}/reboot', version: 2, methods: [memberOnly('POST', reboot)] },
];
