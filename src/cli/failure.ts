/** Failures of the command line: an exit code for each kind, and what people read. */
import { CallError, ConnectionError } from '../client/client.js';
import { TaskError, WaitTimeoutError } from '../client/task.js';

/** docs/cli.md describes them. */
export const exitCodes = {
  failure: 1,
  usage: 2,
  auth: 3,
  notFound: 4,
  conflict: 5,
  unavailable: 6,
  task: 7,
  refused: 8,
  timeout: 124,
  detached: 130,
  brokenPipe: 141,
} as const;
export type Kind = keyof typeof exitCodes;

/** A failure that the command line itself finds. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly kind: Kind;
  /** What to do next. */
  readonly hint: string | undefined;

  constructor(kind: Kind, message: string, hint?: string) {
    super(message);
    this.kind = kind;
    this.hint = hint;
  }
}

export function usageError(message: string, hint?: string): CliError {
  return new CliError('usage', message, hint);
}

export function kindOf(error: unknown): Kind {
  if (error instanceof CliError) return error.kind;
  if (error instanceof CallError) return kindOfStatus(error.status);
  if (error instanceof ConnectionError) return 'unavailable';
  if (error instanceof TaskError) return 'task';
  if (error instanceof WaitTimeoutError) return 'timeout';
  if (error instanceof Error && error.name === 'TimeoutError') return 'unavailable';
  return 'failure';
}

function kindOfStatus(status: number): Kind {
  if (status === 401 || status === 403) return 'auth';
  if (status === 404 || status === 410) return 'notFound';
  if (status === 409 || status === 412) return 'conflict';
  if (status === 408 || status === 429 || (status >= 500 && status !== 501)) return 'unavailable';
  return 'refused';
}

/** The lines for people: the message, where it applies, its cause, the request, what to do next. */
export function linesOf(error: unknown): string[] {
  const message = error instanceof Error ? error.message : String(error);
  const lines = [`copse: ${message}`];
  if (error instanceof CallError) lines.push(...detailsOf(error));
  if (error instanceof TaskError) {
    const { task } = error;
    const step = task.steps.findLast(({ outcome }) => outcome === 'failed');
    if (step !== undefined) lines.push(`  step: ${step.name}, attempt ${step.attempt}`);
    lines.push(`  request: ${task.requester.requestId}`);
  }
  const hint = hintFor(error);
  if (hint !== undefined) lines.push(`  ${hint}`);
  return lines;
}

function detailsOf(error: CallError): string[] {
  const fields = error.errors.flatMap(({ pointer, parameter, message }) => {
    const place = pointer ?? parameter;
    return place === undefined || message === error.message ? [] : [`  ${place}: ${message}`];
  });
  const places = error.errors.flatMap(({ pointer, parameter, message }) =>
    message === error.message ? [pointer ?? parameter ?? ''] : [],
  );
  return [
    ...places.filter((place) => place !== '').map((place) => `  field: ${place}`),
    ...fields,
    `  cause: ${error.code} (HTTP ${error.status})`,
    ...(error.requestId === undefined ? [] : [`  request: ${error.requestId}`]),
  ];
}

/** By error code; other codes say enough with their message. */
const hints: Readonly<Record<string, string>> = {
  unauthorized: 'Check the key: COPSE_API_KEY, or the context ("copse context list").',
  forbidden: 'Ask an admin of the project for a role that allows this.',
  conflict: 'Someone else changed it at the same time: look at it, and try again.',
  plan_required: 'This key must plan first: --dry-run shows the plan, --plan ID confirms it.',
  replace_required: 'Confirm it with --allow-replace.',
  events_expired: 'Follow again without --after.',
  rate_limited: 'Wait a moment, and try again.',
  store_unavailable: 'The server cannot reach its store at the moment; try again later.',
};

function hintFor(error: unknown): string | undefined {
  if (error instanceof CliError) return error.hint;
  if (error instanceof ConnectionError)
    return 'Start a server with "copse serve", or name another one: COPSE_URL, or "copse context".';
  if (error instanceof TaskError)
    return `See "copse task show ${error.task.id}"; "copse task restart ${error.task.id}" tries it again.`;
  if (error instanceof WaitTimeoutError)
    return `It goes on. Wait for it with "copse task follow ${error.task.id}".`;
  if (!(error instanceof CallError)) return undefined;
  const blocking = error.blockedBy?.split('/').at(-1);
  if (blocking !== undefined) return `Wait for the task that blocks it: copse task follow ${blocking}`;
  return hints[error.code];
}
