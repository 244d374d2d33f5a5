/** Reports on the site's work. Model: Evergreen's status routes. */
import { Type, type Static } from 'typebox';
import { Timestamp, Uuid } from './common.js';
import { Task, TaskType } from './task.js';

const Count = Type.Integer({ minimum: 0 });

export const RecentTasks = Type.Object(
  {
    minutes: Type.Integer({ description: 'Length of the window, which ends now.' }),
    since: { ...Timestamp, description: 'Tasks created at this time or later are counted.' },
    total: Count,
    inactive: Count,
    pending: Count,
    running: Count,
    succeeded: Count,
    failed: Count,
    cancelled: Count,
    tasks: Type.Optional(Type.Array(Task, { description: 'With `verbose=true`: the tasks, newest first.' })),
  },
  { title: 'RecentTasks', additionalProperties: false },
);
export type RecentTasks = Static<typeof RecentTasks>;

const counts = {
  depth: Type.Integer({ minimum: 0, description: 'Tasks that will run without further action.' }),
  ready: Type.Integer({ minimum: 0, description: 'Of these: ready to be claimed.' }),
  waiting: Type.Integer({ minimum: 0, description: 'Of these: waiting for their next attempt.' }),
  blocked: Type.Integer({ minimum: 0, description: 'Of these: waiting for another task of their subject.' }),
  inactive: Type.Integer({ minimum: 0, description: 'Held until activated; not counted in the depth.' }),
  running: Count,
  ratePerMinute: Type.Integer({ minimum: 0, description: 'Tasks that ended within the last minute.' }),
  oldestTime: Type.Optional({
    ...Timestamp,
    description: 'When the oldest task counted in the depth was created.',
  }),
  oldestAge: Type.Optional(Type.Integer({ minimum: 0, description: 'The age of that task in seconds.' })),
};

export type QueueCounts = Static<ReturnType<typeof Type.Object<typeof counts>>>;

const QueueOfType = Type.Object(
  { type: TaskType, ...counts },
  { title: 'QueueOfType', additionalProperties: false },
);

const QueueOfRegion = Type.Object(
  { regionId: Uuid, name: Type.String(), ...counts, types: Type.Array(QueueOfType) },
  { title: 'QueueOfRegion', additionalProperties: false },
);

export const QueueStatus = Type.Object(
  { ...counts, regions: Type.Array(QueueOfRegion) },
  { title: 'QueueStatus', additionalProperties: false },
);
export type QueueStatus = Static<typeof QueueStatus>;
