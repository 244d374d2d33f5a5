/**
 * GET /api/v2/instances/{instanceID}/consoleoutput: what the guest wrote to its serial console, by lines (Unikorn) or by
 * byte offsets (as Google Compute Engine), at once or, for clients that accept `text/event-stream`, as it is written. A
 * stream reads the region's log at its client's pace: a slow client holds up neither the guest nor another client.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Type } from 'typebox';
import type { Caller } from '../data/caller.js';
import type { Connector } from '../data/connector.js';
import { defined } from '../model/common.js';
import { ApiError, isOutage } from '../model/error.js';
import { type ConsoleOutput, type ConsolePart, partLimit } from '../model/console.js';
import { callerOf } from './caller.js';
import { eventStream, type StreamTimes, wantsStream } from './event-stream.js';
import { instanceParams } from './instance-access.js';
import { defineHandler } from './route.js';

const Offset = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const Output = Type.Object(
  {
    contents: Type.String({
      description: 'What the guest wrote to its serial console, unmodified, including escape sequences.',
    }),
    start: {
      ...Offset,
      description:
        'Offset in bytes of the first byte of `contents`, counted over everything that the guest has written. More than the `start` of the request: what came before is no longer stored. Less: the machine is a new one.',
    },
    next: { ...Offset, description: 'The `start` of the next request, to continue without a gap.' },
  },
  { title: 'ConsoleOutput', additionalProperties: false },
);

/** Maximum number of requested lines; without `length`, everything that the region stores. */
const maxLines = 100_000;

/** Milliseconds between two reads of a stream that has shown everything. */
const pause = 500;

const offsetText = /^\d{1,15}$/;

function partFor(
  { length, start }: { length?: number; start?: number },
  lastEventId: string | string[] | undefined,
): ConsolePart {
  if (lastEventId !== undefined && lastEventId !== '') {
    if (!offsetText.test(String(lastEventId)))
      throw new ApiError('invalid_parameter', 'Last-Event-ID must be an offset: decimal digits.');
    return { start: Number(lastEventId) };
  }
  return defined({ lines: length, start });
}

export const getConsoleOutput = (times: StreamTimes) =>
  defineHandler(
    {
      operationId: 'getConsoleOutput',
      summary: 'The console output of an instance',
      description: `With \`start\`, up to ${partLimit} bytes from that offset on; repeat with \`next\` to get everything. With \`Accept: text/event-stream\`, what is stored (or asked for) and then what the guest writes, as server-sent events: \`data\` is the same object, \`id\` its \`next\`, and the stream resumes after the \`Last-Event-ID\` header.`,
      tags: ['instances'],
      params: instanceParams,
      query: Type.Object(
        {
          length: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: maxLines,
              description:
                'Number of lines, counted from the end; by default all that are stored. With `start`, of the part that begins there.',
            }),
          ),
          start: Type.Optional({
            ...Offset,
            description: 'Offset in bytes to begin at, instead of `length`.',
          }),
        },
        { additionalProperties: false },
      ),
      headers: Type.Object({
        'Last-Event-ID': Type.Optional(
          Type.String({
            description: 'Continue a stream at this offset; takes precedence.',
            examples: ['0'],
          }),
        ),
      }),
      errors: ['conflict', 'not_implemented'],
      responses: {
        200: {
          description: 'The output, empty before the machine exists; or the stream.',
          schema: Output,
          stream: 'text/event-stream',
        },
      },
    },
    {
      parse: ({ params, query, headers, context }) => ({
        caller: callerOf(context),
        id: params.instanceID,
        part: partFor(query, headers['last-event-id']),
        stream: wantsStream(headers['accept']),
      }),
      execute: async (connector, { caller, id, part, stream }) => {
        const output = await connector.instanceConsoles.output(caller, id, part);
        if (stream)
          return eventStream(connector, times, (signal) =>
            chunks(connector, { ...caller, signal }, id, output, times.heartbeat),
          );
        return { result: output, metadata: { cacheControl: 'no-store' } };
      },
    },
  );

async function* chunks(
  connector: Connector,
  caller: Caller,
  id: string,
  first: ConsoleOutput,
  heartbeat: number,
): AsyncGenerator<string> {
  const { signal } = caller;
  let start = first.next;
  let told = performance.now();
  try {
    yield `retry: 2000\n\n${first.contents === '' ? '' : textOf(first)}`;
    while (!signal.aborted) {
      if (!(await connector.events.isUnchanged(caller))) return;
      const output = await connector.instanceConsoles
        .output(caller, id, { start })
        .catch((error: unknown) => {
          // Browsers give up a stream for good when they get a 503 on reconnecting.
          if (!isOutage(error)) throw error;
          return undefined;
        });
      if (output !== undefined) start = output.next;
      if (output !== undefined && output.contents !== '') {
        yield textOf(output);
        told = performance.now();
        continue;
      }
      if (performance.now() - told >= heartbeat) {
        yield ': still here\n\n';
        told = performance.now();
      }
      await sleep(pause, undefined, { signal, ref: false });
    }
  } catch (error) {
    // Deleted: a client that reconnects gets 404. The end of the server or of the stream's lifetime is no failure.
    if (!signal.aborted && !(error instanceof ApiError && error.code === 'not_found')) throw error;
  }
}

function textOf(output: ConsoleOutput): string {
  return `id: ${output.next}\ndata: ${JSON.stringify(output)}\n\n`;
}
