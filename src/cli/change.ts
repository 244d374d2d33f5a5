/** Commands that change something: asking first, plans, waiting for the task, and how to come back to it. */
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { type Answer, type Call, type Client, ConnectionError } from '../client/client.js';
import { StatusLine } from '../client/status-line.js';
import { waitForTask } from '../client/task.js';
import type { Plan } from '../model/plan.js';
import type { Task } from '../model/task.js';
import { CliError, usageError } from './failure.js';
import { textOf } from './output.js';
import { note, print } from './terminal.js';
import { type CommonFlags, wholeNumber } from './verb.js';

export interface WaitFlags extends CommonFlags {
  wait?: boolean;
  timeout?: string;
}

export interface ChangeFlags extends WaitFlags {
  dryRun?: boolean;
  plan?: string;
  idempotencyKey?: string;
  yes?: boolean;
}

export function waiting(command: Command): Command {
  return command
    .option('--no-wait', 'do not wait until the work is done')
    .option('--timeout <seconds>', 'how long to wait at most; the work goes on after that');
}

/** For a change of an instance. */
export function planning(command: Command): Command {
  return waiting(command)
    .option('--dry-run', 'print what would be done, and do nothing')
    .option('--plan <id>', 'do what the plan of a dry run says, or nothing');
}

export function repeatable(command: Command): Command {
  return command.option(
    '--idempotency-key <key>',
    'repeats with one key are carried out once (default: a new one)',
  );
}

export function confirming(command: Command): Command {
  return command.option('-y, --yes', 'do not ask');
}

/** Asks on a terminal; elsewhere --yes is required. */
export async function confirm(question: string, { yes }: { yes?: boolean }): Promise<void> {
  if (yes === true) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw usageError(`${question} Nobody can be asked here.`, 'Confirm it with --yes.');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question} [y/N] `).finally(() => terminal.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw usageError('Nothing was done.');
}

/** What a change has led to. Without a task, it is complete. */
export interface Outcome<T> {
  body: T;
  task: Task | undefined;
  /** The id of a task that was not waited for. */
  pending: string | undefined;
}

/** Sends the change; undefined after a dry run, whose plan is printed. */
export async function change<T>(
  client: Client,
  call: Call,
  flags: ChangeFlags,
  contentType?: string,
): Promise<Outcome<T> | undefined> {
  const seconds = secondsOf(flags);
  const query =
    flags.dryRun === true ? 'dryRun=true' : flags.plan && `planID=${encodeURIComponent(flags.plan)}`;
  const url = query === undefined ? call.url : `${call.url}${call.url.includes('?') ? '&' : '?'}${query}`;
  const key = call.method === 'POST' ? (flags.idempotencyKey ?? randomUUID()) : undefined;
  const options = {
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(contentType === undefined ? {} : { contentType }),
  };
  const answer = await client.call<T>({ ...call, url }, options).catch((error: unknown) => {
    if (error instanceof ConnectionError && error.code !== 'ECONNREFUSED' && key !== undefined)
      note(`It may have been done. Repeating it with --idempotency-key ${key} does nothing twice.`);
    throw error;
  });
  if (flags.dryRun === true) {
    await printPlan(answer.body as Plan, flags);
    return undefined;
  }
  const id = taskOf(answer);
  const waits = id !== undefined && flags.wait !== false;
  const task = waits ? await follow(client, id, seconds) : undefined;
  return { body: answer.body, task, pending: waits ? undefined : id };
}

export function secondsOf({ timeout }: WaitFlags): number | undefined {
  return timeout === undefined ? undefined : wholeNumber(timeout, '--timeout', 0, 1_000_000);
}

function taskOf({ headers, body }: Answer<unknown>): string | undefined {
  const [, located] = /\/tasks\/([^/?]+)$/.exec(headers.get('location') ?? '') ?? [];
  const { status } = (body ?? {}) as { status?: { taskId?: string } };
  return located ?? status?.taskId;
}

/** Waits for the task with a line of its steps; Ctrl-C leaves it alone and says how to come back. */
export async function follow(client: Client, id: string, seconds: number | undefined): Promise<Task> {
  const interrupt = new AbortController();
  const onInterrupt = () => interrupt.abort();
  process.once('SIGINT', onInterrupt);
  const line = new StatusLine(process.stderr);
  let text = '';
  const ticks = setInterval(() => process.stderr.isTTY && text !== '' && line.show(text), 1000);
  try {
    const task = await waitForTask(client, id, {
      onProgress: (state) => line.show((text = progressOf(state))),
      timeout: seconds === undefined ? undefined : seconds * 1000,
      signal: interrupt.signal,
    });
    line.done(text);
    return task;
  } catch (error) {
    if (process.stderr.isTTY && text !== '') note('');
    if (!interrupt.signal.aborted) throw error;
    throw new CliError(
      'detached',
      'Detached; the task goes on.',
      `Come back with "copse task follow ${id}".`,
    );
  } finally {
    clearInterval(ticks);
    process.off('SIGINT', onInterrupt);
  }
}

function progressOf({ type, status, steps, attempts, retryTime }: Task): string {
  const step = steps.at(-1)?.name;
  const repeat = attempts.length > 1 ? `, attempt ${attempts.length}` : '';
  const retry = retryTime === undefined ? '' : `, again at ${retryTime}`;
  return `${type}: ${status}${step === undefined ? '' : `, step ${step}`}${repeat}${retry}`;
}

async function printPlan(plan: Plan, { output = 'table' }: CommonFlags): Promise<void> {
  if (output === 'json') return print(`${JSON.stringify(plan, null, 2)}\n`);
  if (output === 'yaml') return print((await import('./yaml.js')).stringify(plan));
  const lines = plan.changes.map(({ pointer, from, to }) => `  ${pointer}: ${shown(from)} -> ${shown(to)}`);
  const effects = [
    ...(plan.restarts ? ['A running guest is restarted.'] : []),
    ...(plan.destroys ? ['The machine or the content of its disk is lost.'] : []),
  ];
  const confirmation =
    plan.planId === undefined
      ? []
      : [`Confirm exactly this with --plan ${plan.planId} until ${plan.validUntil ?? ''}`];
  await print(`${[`Plan: ${plan.action}`, ...lines, ...effects, ...confirmation].join('\n')}\n`);
}

function shown(value: unknown): string {
  return value === undefined ? '(nothing)' : textOf(value);
}
