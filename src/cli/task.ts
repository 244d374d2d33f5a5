/** copse task */
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import { waitForTask } from '../client/task.js';
import type { Task } from '../model/task.js';
import { follow, secondsOf, waiting, type WaitFlags } from './change.js';
import { type Listing, listVerb } from './list.js';
import { idIn, instanceId, segment } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, printing, verb } from './verb.js';

const columns: Column<Task>[] = [
  { name: 'id', value: ({ id }) => id },
  { name: 'type', value: ({ type }) => type },
  { name: 'subject', value: ({ subject }) => subject?.name },
  { name: 'status', value: ({ status }) => status, kind: 'state' },
  { name: 'step', value: ({ steps }) => steps.at(-1)?.name },
  { name: 'created', value: ({ creationTime }) => creationTime, kind: 'time' },
  { name: 'ended', value: ({ endTime }) => endTime, kind: 'time' },
  { name: 'requester', value: ({ requester }) => requester.user, hidden: true },
  { name: 'priority', value: ({ priority }) => priority, hidden: true },
  { name: 'activated', value: ({ activated }) => activated, hidden: true },
  { name: 'attempts', value: ({ attempts }) => attempts.length, hidden: true },
  { name: 'cause', value: ({ cause }) => cause?.message, hidden: true },
  { name: 'request', value: ({ requester }) => requester.requestId, hidden: true },
];

const listing: Listing<Task> = {
  columns,
  source: '/api/v2/tasks?descending=true',
  filters: {
    status: { parameter: 'status' },
    type: { parameter: 'type' },
    requester: { parameter: 'requester' },
    instance: { parameter: 'subjectID', resolve: instanceId },
    project: { parameter: 'projectID', resolve: (client, text) => idIn(client, 'project', text) },
    createdAfter: { parameter: 'createdAfter' },
    createdBefore: { parameter: 'createdBefore' },
  },
};

export function addVerbs(noun: Command): void {
  const examples = ['copse task list --filter status=failed', 'copse task list --filter instance=web'];
  listVerb(noun, 'list', 'list tasks, the newest first', examples, listing);
  printing(
    verb(noun, 'show <task>', 'show a task', 'copse task show 01a1fc40-e4c0-7555-8353-2d75db03d2a7'),
  ).action(show);
  waiting(
    verb(noun, 'abort <task>', 'abort a task', 'copse task abort 01a1fc40-e4c0-7555-8353-2d75db03d2a7'),
  ).action(abort);
  waiting(
    verb(
      noun,
      'restart <task>',
      'restart a task that failed or was cancelled',
      'copse task restart 01a1fc40-e4c0-7555-8353-2d75db03d2a7',
    ),
  ).action(restart);
  verb(
    noun,
    'follow <task>',
    'wait for a task, with a line of its steps',
    'copse task follow 01a1fc40-e4c0-7555-8353-2d75db03d2a7',
  )
    .option('--timeout <seconds>', 'how long to wait at most')
    .action(async (id: string, flags: WaitFlags) => {
      const seconds = secondsOf(flags);
      const task = await follow(connect(flags), id, seconds);
      await print(`${task.type} has succeeded.\n`);
    });
}

async function show(id: string, flags: CommonFlags): Promise<void> {
  const format = formatOf(
    flags,
    columns.map(({ hidden: _, ...column }) => column),
  );
  const { body } = await connect(flags).get<Task>(`/api/v2/tasks/${segment(id)}`);
  await printOne(body, format);
}

async function post(client: Client, id: string, verbName: string): Promise<void> {
  await client.post(`/api/v2/tasks/${segment(id)}/${verbName}`, undefined, {
    idempotencyKey: crypto.randomUUID(),
  });
}

async function abort(id: string, flags: WaitFlags): Promise<void> {
  const seconds = secondsOf(flags);
  const client = connect(flags);
  await post(client, id, 'abort');
  if (flags.wait === false) return print(`Requested to abort ${id}.\n`);
  const timeout = seconds === undefined ? undefined : seconds * 1000;
  const { status } = await waitForTask(client, id, { timeout, anyEnd: true });
  await print(`The task is ${status}.\n`);
}

async function restart(id: string, flags: WaitFlags): Promise<void> {
  const seconds = secondsOf(flags);
  const client = connect(flags);
  await post(client, id, 'restart');
  if (flags.wait === false) return print(`Restarted. Wait for it with "copse task follow ${id}".\n`);
  const task = await follow(client, id, seconds);
  await print(`${task.type} has succeeded.\n`);
}
