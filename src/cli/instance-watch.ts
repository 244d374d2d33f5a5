/** What looks at an instance over time: copse instance wait, logs and timeline. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { closest } from 'fastest-levenshtein';
import { CallError, type Client } from '../client/client.js';
import type { Instance } from '../model/instance.js';
import type { TimelineEntry } from '../model/timeline.js';
import { secondsOf } from './change.js';
import { CliError, usageError } from './failure.js';
import { type Listing, listVerb } from './list.js';
import { instanceId, segment } from './lookup.js';
import { note, print } from './terminal.js';
import { type CommonFlags, connect, verb, wholeNumber } from './verb.js';

interface WaitForFlags extends CommonFlags {
  for: string;
  timeout?: string;
}

interface ConsolePart {
  contents: string;
  /** Where what follows begins. */
  next: number;
}

interface LogFlags extends CommonFlags {
  tail: string;
  follow?: boolean;
}

const firstPause = 100;
const longestPause = 2000;
const logPause = 1000;

export function addInstanceWatching(noun: Command): void {
  const goals = Object.keys(reached).join(', ');
  verb(noun, 'wait <instance>', 'wait for a state of an instance', 'copse instance wait web --for running')
    .option('--for <state>', goals, 'idle')
    .option('--timeout <seconds>', 'how long to wait at most')
    .action(waitFor);
  verb(noun, 'logs <instance>', 'print the console output of an instance', 'copse instance logs web --follow')
    .option('--tail <lines>', 'how many of the last lines', '100')
    .option('-f, --follow', 'go on with what is written')
    .action(logs);
  listVerb(
    noun,
    'timeline <instance>',
    'what happened to an instance',
    'copse instance timeline web',
    timeline,
  );
}

const timeline: Listing<TimelineEntry> = {
  columns: [
    { name: 'time', value: ({ time }) => time, kind: 'time' },
    { name: 'kind', value: ({ kind }) => kind },
    { name: 'summary', value: ({ summary }) => summary },
    { name: 'user', value: ({ user }) => user },
    { name: 'message', value: ({ message }) => message },
    { name: 'task', value: ({ taskId }) => taskId, hidden: true },
    { name: 'request', value: ({ requestId }) => requestId, hidden: true },
  ],
  source: async (client, _flags, [name = '']) =>
    `/api/v2/instances/${segment(await instanceId(client, name))}/timeline`,
};

/** Undefined: the instance does not exist any more. */
const reached: Readonly<Record<string, (instance: Instance | undefined) => boolean>> = {
  idle: (instance) => instance !== undefined && instance.status.taskId === undefined,
  running: (instance) => instance?.status.powerState === 'Running',
  stopped: (instance) => instance?.status.powerState === 'Stopped',
  deleted: (instance) => instance === undefined,
};

async function waitFor(name: string, flags: WaitForFlags): Promise<void> {
  const isReached = Object.hasOwn(reached, flags.for) ? reached[flags.for] : undefined;
  if (isReached === undefined) {
    const states = Object.keys(reached);
    throw usageError(
      `--for ${flags.for}: the states are ${states.join(', ')}.`,
      `Did you mean ${closest(flags.for, states)}?`,
    );
  }
  const seconds = secondsOf(flags) ?? Infinity;
  const client = connect(flags);
  const id = await instanceId(client, name);
  const end = Date.now() + seconds * 1000;
  for (let pause = firstPause; ; pause = Math.min(longestPause, pause * 1.5)) {
    const instance = await orGone(client, id, flags.for === 'deleted');
    if (isReached(instance)) return print(`${name} is ${flags.for}.\n`);
    if (instance === undefined) throw new CliError('notFound', `${name} does not exist any more.`);
    const { metadata, status } = instance;
    if (metadata.provisioningStatus === 'error' && status.taskId === undefined)
      throw new CliError(
        'task',
        `${name}: ${metadata.provisioningStatusDetail?.message ?? 'it is in error'}`,
      );
    if (Date.now() >= end)
      throw new CliError(
        'timeout',
        `${name} is not ${flags.for} after ${seconds} s; it is ${status.powerState ?? 'in an unknown state'}.`,
      );
    await sleep(Math.min(pause, Math.max(0, end - Date.now())));
  }
}

async function orGone(client: Client, id: string, mayBeGone: boolean): Promise<Instance | undefined> {
  try {
    return (await client.get<Instance>(`/api/v2/instances/${segment(id)}`)).body;
  } catch (error) {
    if (mayBeGone && error instanceof CallError && error.status === 404) return undefined;
    throw error;
  }
}

async function logs(name: string, flags: LogFlags): Promise<void> {
  const tail = wholeNumber(flags.tail, '--tail', 1, 10_000);
  const client = connect(flags);
  const id = await instanceId(client, name);
  const read = async (part: string) =>
    (await client.get<ConsolePart>(`/api/v2/instances/${segment(id)}/consoleoutput?${part}`)).body;
  let { contents, next } = await read(`length=${tail}`);
  await print(contents === '' || contents.endsWith('\n') || flags.follow ? contents : `${contents}\n`);
  if (flags.follow !== true) return;
  note('Following; Ctrl-C ends it.');
  for (;;) {
    ({ contents, next } = await read(`start=${next}`));
    await print(contents);
    if (contents === '') await sleep(logPause);
  }
}
