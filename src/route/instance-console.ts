import { Type } from 'typebox';
import { callerOf } from './caller.js';
import { instanceParams } from './instance-access.js';
import { defineHandler } from './route.js';

const ConsoleOutput = Type.Object(
  {
    contents: Type.String({
      description: 'What the guest wrote to its serial console, unmodified, including escape sequences.',
    }),
  },
  { title: 'ConsoleOutput', additionalProperties: false },
);

/** Maximum number of requested lines; without `length`, everything that the region stores. */
const maxLines = 100_000;

/** GET /api/v2/instances/{instanceID}/consoleoutput */
export const getConsoleOutput = defineHandler(
  {
    operationId: 'getConsoleOutput',
    summary: 'The console output of an instance',
    tags: ['instances'],
    params: instanceParams,
    query: Type.Object(
      {
        length: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: maxLines,
            description: 'Number of lines, counted from the end; by default all that are stored.',
          }),
        ),
      },
      { additionalProperties: false },
    ),
    errors: ['conflict', 'not_implemented'],
    responses: {
      200: { description: 'The output, empty before the machine exists.', schema: ConsoleOutput },
    },
  },
  {
    parse: ({ params, query, context }) => ({
      caller: callerOf(context),
      id: params.instanceID,
      lines: query.length,
    }),
    execute: async (connector, { caller, id, lines }) => ({
      result: await connector.instances.consoleOutput(caller, id, lines),
      metadata: { cacheControl: 'no-store' },
    }),
  },
);
