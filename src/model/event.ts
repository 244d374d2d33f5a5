/** What happened to a resource: one write, as recorded in the change log. */
import { Type, type Static } from 'typebox';
import { Timestamp, Uuid } from './common.js';
import { Instance } from './instance.js';
import { Task } from './task.js';

export const EventSubject = Type.Union([Type.Literal('instance'), Type.Literal('task')]);
export type EventSubject = Static<typeof EventSubject>;

export const EventType = Type.Union(
  [
    Type.Literal('instance.created'),
    Type.Literal('instance.updated'),
    Type.Literal('instance.expiring'),
    Type.Literal('instance.deleted'),
    Type.Literal('task.created'),
    Type.Literal('task.updated'),
    Type.Literal('task.deleted'),
  ],
  {
    title: 'EventType',
    description:
      'Subject and what happened to it. `instance.expiring`: the instance was marked as about to be deleted.',
  },
);
export type EventType = Static<typeof EventType>;

export const eventIdPattern = '^(0|[1-9][0-9]{0,14})$';

/** Position in the change log, in decimal digits. */
export const EventId = Type.String({
  pattern: eventIdPattern,
  description: 'Position in the log. Increases with each event; send the last one seen as Last-Event-ID.',
});

export const Event = Type.Object(
  {
    id: EventId,
    type: EventType,
    time: Timestamp,
    projectId: Uuid,
    resourceId: Uuid,
    revision: Type.Integer({ minimum: 1, description: 'Revision of the resource; its entity tag.' }),
    resource: Type.Union([Instance, Task, Type.Null()], {
      description: 'The resource as it was right after the event; null when it was deleted.',
    }),
  },
  { title: 'Event', additionalProperties: false },
);
export type Event = Static<typeof Event>;
