import type { Accepted } from '../data/caller.js';
import { taskAddress } from '../data/task.js';
import { InstanceActionPlan, InstanceActionResults, InstanceActions } from '../model/instance-action.js';
import { JsonText } from './pipeline/response.js';
import { taskHandler } from './task-handler.js';

const accepted = ({ taskId = '', text = '' }: Accepted) => ({
  result: new JsonText(text),
  metadata: { status: 202, location: taskAddress(taskId), retryAfter: 1 },
});

/** POST /api/v2/instances/actions */
export const actOnInstances = taskHandler(
  {
    operationId: 'actOnInstances',
    summary: 'Start, stop, reboot or delete many instances of a project',
    description:
      'Each instance gets a task of its own, or says why it refuses; one more task, the parent, ends when they have ended, and succeeds if all of them have. All of this is stored in one step. If every instance refuses, or one of them and `atomic` is set, nothing is done.',
    tags: ['instances'],
    body: InstanceActions,
    example: { verb: 'reboot', selector: { status: ['provisioned'] }, all: true },
    plans: 'confirmed',
    errors: [
      'actions_refused',
      'forbidden',
      'not_found',
      'unprocessable',
      'precondition_failed',
      'plan_required',
      'conflict',
      'being_deleted',
    ],
  },
  {
    answers: {
      responses: {
        202: {
          description: 'What each instance answers; Location names the parent task.',
          schema: InstanceActionResults,
          headers: ['Location', 'Retry-After'],
        },
      },
      plan: InstanceActionPlan,
      accepted,
      waited: () => Promise.resolve(undefined),
    },
    parse: ({ body }) => body,
    accept: (connector, caller, body) => connector.instanceActions.act(caller, body),
  },
);
