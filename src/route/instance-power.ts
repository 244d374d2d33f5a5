import { Type } from 'typebox';
import type { PowerVerb } from '../model/power.js';
import { instanceParams } from './instance-access.js';
import { taskHandler } from './task-handler.js';

/** POST /api/v2/instances/{instanceID}/start and /stop */
function verb(name: Exclude<PowerVerb, 'reboot'>, summary: string, description: string) {
  return taskHandler(
    {
      operationId: `${name}Instance`,
      summary,
      description,
      tags: ['instances'],
      params: instanceParams,
      plans: 'confirmed',
      errors: [
        'power_state_conflict',
        'instance_busy',
        'being_deleted',
        'conflict',
        'precondition_failed',
        'plan_required',
      ],
    },
    {
      parse: ({ params }) => params.instanceID,
      accept: (connector, caller, id) =>
        connector.taskControl.request(caller, 'instance', id, `instance.${name}`, {}),
    },
  );
}

export const startInstance = verb(
  'start',
  'Start a stopped instance',
  'A repeat while the start is in progress returns the same task.',
);

export const stopInstance = verb(
  'stop',
  'Stop a running instance',
  'Asks the guest to shut down, and cuts the power after the region’s deadline.',
);

/** POST /api/v2/instances/{instanceID}/reboot */
export const rebootInstance = taskHandler(
  {
    operationId: 'rebootInstance',
    summary: 'Reboot an instance',
    description:
      'Asks the guest to shut down, and cuts the power if it does not do so in time; with `hard=true`, cuts the power at once.',
    tags: ['instances'],
    params: instanceParams,
    plans: 'confirmed',
    query: Type.Object(
      {
        hard: Type.Optional(
          Type.Boolean({ default: false, description: 'Cut the power instead of asking the guest.' }),
        ),
      },
      { additionalProperties: false },
    ),
    errors: [
      'power_state_conflict',
      'instance_busy',
      'being_deleted',
      'conflict',
      'not_implemented',
      'precondition_failed',
      'plan_required',
    ],
  },
  {
    parse: ({ params, query }) => ({ id: params.instanceID, hard: query.hard ?? false }),
    accept: (connector, caller, { id, hard }) =>
      connector.taskControl.request(caller, 'instance', id, 'instance.reboot', { hard }),
  },
);
