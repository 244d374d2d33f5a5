/** Superuser operations on many tasks at once. Model: Evergreen's admin routes, with one result per task. */
import { Type, type Static } from 'typebox';
import { Timestamp, Uuid } from './common.js';
import { TaskType } from './task.js';

export const RestartWindow = Type.Object(
  {
    start: { ...Timestamp, description: 'RFC 3339. Tasks that failed at this time or later.' },
    end: { ...Timestamp, description: 'RFC 3339. Tasks that failed before this time.' },
    dryRun: Type.Optional(
      Type.Boolean({ default: false, description: 'Only report what would be restarted.' }),
    ),
    types: Type.Optional(Type.Array(TaskType, { maxItems: 20 })),
    projectIds: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
  },
  { title: 'RestartWindow', additionalProperties: false },
);
export type RestartWindow = Static<typeof RestartWindow>;

export const RestartResult = Type.Object(
  {
    restarted: Type.Array(Uuid, { description: 'In a dry run: the tasks that would be restarted.' }),
    refused: Type.Array(
      Type.Object(
        { id: Uuid, code: Type.String(), message: Type.String() },
        { title: 'RestartRefusal', additionalProperties: false },
      ),
      { description: 'Each with the error that restarting it alone would return.' },
    ),
    next: Type.Optional({
      ...Timestamp,
      description: 'The window contains more tasks than one call handles: `start` of the next call.',
    }),
  },
  { title: 'RestartResult', additionalProperties: false },
);
export type RestartResult = Static<typeof RestartResult>;

export const QueueCleared = Type.Object(
  {
    cancelled: Type.Integer({ minimum: 0, description: 'Tasks that had not started and have now ended.' }),
    aborting: Type.Integer({
      minimum: 0,
      description: 'Tasks between two attempts, which a worker is about to end.',
    }),
    more: Type.Optional(
      Type.Boolean({ description: 'The queue contains more tasks than one call handles: call again.' }),
    ),
  },
  { title: 'QueueCleared', additionalProperties: false },
);
export type QueueCleared = Static<typeof QueueCleared>;
