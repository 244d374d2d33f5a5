import { Image } from '../model/image.js';
import { SnapshotCreate } from '../model/stored-image.js';
import { instanceParams } from './instance-access.js';
import { JsonText } from './pipeline/response.js';
import { type TaskAnswers, taskHandler } from './task-handler.js';

/** The image; for a client that waited, as the task left it. */
const created: TaskAnswers = {
  responses: {
    201: {
      description: 'The image, which is being made, unless the client waited for it.',
      schema: Image,
      headers: ['Location', 'ETag'],
    },
  },
  accepted: ({ id, text = '', revision = 1 }) => ({
    result: new JsonText(text),
    metadata: { status: 201, location: `/api/v2/images/${id}`, revision },
  }),
  waited: async (connector, caller, change) => {
    const { image, revision } = await connector.images.one(caller, change.id);
    return created.accepted({
      ...change,
      text: JSON.stringify(image),
      ...(revision !== undefined && { revision }),
    });
  },
};

/** POST /api/v2/instances/{instanceID}/snapshot */
export const createSnapshot = taskHandler(
  {
    operationId: 'createSnapshot',
    summary: 'Make an image of the disk of an instance',
    description:
      'The instance may be running; its power state stays as it is. Responds at once; `status.taskId` of the image names the task that makes it. Instances created from the image have an identity of their own. What a running guest has not synced may be missing.',
    tags: ['instances'],
    params: instanceParams,
    body: SnapshotCreate,
    plans: 'only',
    example: { metadata: { name: 'example' } },
    errors: [
      'name_taken',
      'power_state_conflict',
      'instance_busy',
      'being_deleted',
      'conflict',
      'precondition_failed',
      'unprocessable',
      'not_implemented',
    ],
  },
  {
    answers: created,
    parse: ({ params, body }) => ({ id: params.instanceID, body }),
    accept: (connector, caller, { id, body }) => connector.snapshots.create(caller, id, body),
  },
);
