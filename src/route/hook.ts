import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { ApiError } from '../model/error.js';
import { GitHubEvent, HookAnswer, isSigned, WorkflowJobEvent } from '../model/hook.js';
import type { RouteRequest } from './pipeline/handler.js';
import { defineHandler } from './route.js';

const Header = (description: string) => Type.Optional(Type.String({ description }));

function headerOf({ headers }: Pick<RouteRequest, 'headers'>, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** POST /api/v2/hooks/github. The signature is the access control; it is checked before anything else is looked at. */
export const receiveGitHub = (secret: string) =>
  defineHandler(
    {
      operationId: 'receiveGitHub',
      summary: 'Receive an event of GitHub',
      description:
        'Exists only if `hooks.github.secret` is configured. A repeated delivery gets the same answer, and has no second effect. The body is the event, or a form (`application/x-www-form-urlencoded`) with the event in `payload`: the two content types of GitHub.',
      tags: ['hooks'],
      headers: Type.Object({
        'X-GitHub-Event': Header('Type of the event.'),
        'X-GitHub-Delivery': Header('Id of the delivery, a UUID.'),
        'X-Hub-Signature-256': Header('`sha256=` and the HMAC of the body.'),
      }),
      body: GitHubEvent,
      formMember: 'payload',
      signed: true,
      responses: { 202: { description: 'What the event causes.', schema: HookAnswer } },
      errors: ['forbidden', 'invalid_parameter', 'switched_off', 'conflict'],
    },
    {
      parse: (request) => {
        if (!isSigned(headerOf(request, 'x-hub-signature-256'), request.bytes(), secret))
          throw new ApiError('forbidden', 'The signature is missing, or is not that of the body.');
        const delivery = headerOf(request, 'x-github-delivery') ?? '';
        if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(delivery)) {
          const message = 'The header X-GitHub-Delivery must be a UUID.';
          throw new ApiError('invalid_parameter', message, {
            errors: [{ parameter: 'X-GitHub-Delivery', message }],
          });
        }
        const name = headerOf(request, 'x-github-event') ?? '';
        const { requestId, signal } = request.context;
        return { name, id: delivery.toLowerCase(), event: request.body, requestId, signal };
      },
      execute: async (connector, { name, id, event, requestId, signal }) => {
        connector.hooks.demand();
        const answered = (result: HookAnswer) => ({ result, metadata: { status: 202 } });
        if (name !== 'workflow_job') {
          const known = /^[a-z_]{1,64}$/.test(name) ? `"${name}"` : 'this type';
          return answered({ result: 'ignored', reason: `Events of ${known} have no effect here.` });
        }
        if (!Value.Check(WorkflowJobEvent, event)) {
          const [first] = Value.Errors(WorkflowJobEvent, event);
          const pointer = first?.instancePath ?? '';
          const message = 'The event does not have the form of a workflow_job.';
          throw new ApiError('invalid_body', message, {
            errors: [{ pointer, message: first?.message ?? message }],
          });
        }
        return answered(await connector.hooks.workflowJob({ requestId, signal }, { id, event }));
      },
    },
  );
