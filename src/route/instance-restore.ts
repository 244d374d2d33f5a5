import { instanceParams } from './instance-access.js';
import { taskHandler } from './task-handler.js';

/** POST /api/v2/instances/{instanceID}/restore */
export const restoreInstance = taskHandler(
  {
    operationId: 'restoreInstance',
    summary: 'Bring a deleted instance back from the trash',
    description:
      'With its id, its disk and its name, unless another instance has that by now (409 `name_taken`). It starts if it was last asked to run. A repeat while this is in progress returns the same task.',
    tags: ['instances'],
    params: instanceParams,
    plans: 'confirmed',
    errors: [
      'not_trashed',
      'name_taken',
      'quota_exceeded',
      'instance_busy',
      'conflict',
      'precondition_failed',
      'plan_required',
    ],
  },
  {
    parse: ({ params }) => params.instanceID,
    accept: (connector, caller, id) => connector.instances.restore(caller, id),
  },
);
