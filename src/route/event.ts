/**
 * GET /api/v2/events: the change log, as server-sent events (WHATWG HTML, section 9.2) for clients that accept
 * `text/event-stream`, otherwise as a page of JSON.
 *
 * A stream reads the log itself, at its client's pace: a slow client delays no one and loses nothing, and one that
 * reconnects with Last-Event-ID continues where it was.
 */
import { type Static, Type } from 'typebox';
import type { Caller } from '../data/caller.js';
import type { Connector } from '../data/connector.js';
import type { EventFilter } from '../data/event.js';
import { Uuid } from '../model/common.js';
import { ApiError, isOutage } from '../model/error.js';
import { Event, EventId, eventIdPattern, EventSubject, EventType } from '../model/event.js';
import { callerOf } from './caller.js';
import { eventStream, type StreamTimes, wantsStream } from './event-stream.js';
import { JsonText } from './pipeline/response.js';
import { defineHandler } from './route.js';

/** Events that a stream reads at a time. */
const batch = 100;

/** Milliseconds between two attempts while the store is unavailable. */
const outagePause = 1000;

const eventId = new RegExp(eventIdPattern);

const Query = Type.Object(
  {
    projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
    subject: Type.Optional(Type.Array(EventSubject, { maxItems: 2 })),
    type: Type.Optional(Type.Array(EventType, { maxItems: 7 })),
    resourceID: Type.Optional(Type.Array(Uuid, { maxItems: 100, description: 'Ids of instances or tasks.' })),
    after: Type.Optional({
      ...EventId,
      description:
        'Start after this event; `Last-Event-ID` takes precedence. 0 stands for the oldest. By default a stream starts with new events, a page with the oldest one.',
    }),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        default: 100,
        description: 'Maximum number of events on the page.',
      }),
    ),
  },
  { additionalProperties: false },
);

function filterOf(query: Static<typeof Query>): EventFilter {
  return {
    projectIds: query.projectID,
    subjects: query.subject,
    types: query.type,
    resourceIds: query.resourceID,
  };
}

function positionOf(
  lastEventId: string | string[] | undefined,
  after: string | undefined,
): number | undefined {
  const text = lastEventId === undefined || lastEventId === '' ? after : String(lastEventId);
  if (text === undefined) return undefined;
  if (!eventId.test(text)) {
    throw new ApiError('invalid_parameter', 'Last-Event-ID must be the id of an event: decimal digits.');
  }
  return Number(text);
}

export const listEvents = (times: StreamTimes) =>
  defineHandler(
    {
      operationId: 'listEvents',
      summary: 'What happened to instances and tasks, oldest first',
      description:
        'With `Accept: text/event-stream`, an endless stream of server-sent events: `id` is the position in the log, `event` the type, `data` the event. The stream resumes after the `Last-Event-ID` header, and loses nothing however slowly it is read. Otherwise, a page of events as JSON; `Link` points to the next page while there are more events, and `after` with the last id continues later. If the events after an id are no longer stored, the response is 410: list the resources again.',
      tags: ['events'],
      query: Query,
      headers: Type.Object({
        'Last-Event-ID': Type.Optional({
          ...EventId,
          description: 'Start after this event, the last one seen; takes precedence over `after`.',
        }),
      }),
      responses: {
        200: {
          description: 'A page of events, or the stream.',
          schema: Type.Array(Event),
          stream: 'text/event-stream',
          headers: ['Link'],
        },
      },
      errors: ['events_expired'],
    },
    {
      parse: ({ query, headers, querystring, path, context }) => ({
        caller: callerOf(context),
        filter: filterOf(query),
        after: positionOf(headers['last-event-id'], query.after),
        limit: query.limit ?? 100,
        stream: wantsStream(headers['accept']),
        address: { path, querystring },
      }),
      execute: async (connector, { caller, filter, after, limit, stream, address }) => {
        if (stream) {
          if (after !== undefined) await connector.events.check(after);
          if (connector.events.closing.aborted)
            throw new ApiError('unavailable', 'The server is stopping.', { headers: { 'Retry-After': '1' } });
          const begin = after ?? (await connector.events.end());
          return eventStream(connector, times, (signal) =>
            chunks(connector, caller, filter, begin, times.heartbeat, signal),
          );
        }
        const { events, next, more } = await connector.events.page(
          caller,
          filter,
          after ?? 0,
          limit,
          caller.signal,
        );
        // After the read, so that nothing is dropped between the two.
        if (after !== undefined) await connector.events.check(after);
        const result = new JsonText(`[${events.map(({ text }) => text).join(',')}]`);
        const makeHeader = (apiUrl: string) => linkTo(apiUrl, address, more ? next : undefined);
        return { result, metadata: { pages: { makeHeader }, cacheControl: 'no-store' } };
      },
    },
  );

function linkTo(
  apiUrl: string,
  { path, querystring }: { path: string; querystring: string },
  next: number | undefined,
): string {
  const link = (relation: string, after: number) => {
    const query = new URLSearchParams(querystring);
    query.set('after', String(after));
    return `<${apiUrl}${path}?${query.toString()}>; rel="${relation}"`;
  };
  return [...(next === undefined ? [] : [link('next', next)]), link('first', 0)].join(', ');
}

async function* chunks(
  connector: Connector,
  caller: Caller,
  filter: EventFilter,
  begin: number,
  heartbeat: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const follower = connector.events.follow();
  let position = begin;
  try {
    yield `retry: 2000\nid: ${position}\n\n`;
    while (!signal.aborted) {
      follower.mark();
      let news: boolean;
      try {
        if (!(await connector.events.isUnchanged(caller))) return;
        const { events, next, more } = await connector.events.page(caller, filter, position, batch, signal);
        // So far behind that events were dropped before they were read: the client reconnects, and gets 410.
        if (!(await connector.events.isKept(position))) return;
        position = next;
        if (events.length > 0) yield textOf(events);
        if (more) continue;
        // An id without data advances the client's position past events that it may not see.
        news = await follower.wait(heartbeat, signal);
      } catch (error) {
        // Browsers give up a stream for good when they get a 503 on reconnecting.
        if (!isOutage(error)) throw error;
        news = await follower.wait(outagePause, signal);
      }
      signal.throwIfAborted();
      if (!news) yield `: still here\nid: ${position}\n\n`;
    }
  } catch (error) {
    // The end of the server or of the stream's lifetime is not a failure: the client reconnects.
    if (!signal.aborted) throw error;
  } finally {
    follower.leave();
  }
}

function textOf(events: readonly { position: number; type: string; text: string }[]): string {
  return events
    .map((event) => `id: ${event.position}\nevent: ${event.type}\ndata: ${event.text}\n\n`)
    .join('');
}
