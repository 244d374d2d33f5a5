/** copse event */
import type { Command } from 'commander';
import { followEvents } from '../client/event.js';
import type { Event } from '../model/event.js';
import { idIn, instanceId } from './lookup.js';
import { filled, formatOf, memberAt, textOf } from './output.js';
import { print, styled, visible } from './terminal.js';
import { collect, connect, type CommonFlags, verb } from './verb.js';

interface FollowFlags extends CommonFlags {
  type?: string[];
  project?: string[];
  instance?: string[];
  after?: string;
}

export function addVerbs(noun: Command): void {
  const examples = ['copse event follow', 'copse event follow --instance web -o json'];
  verb(noun, 'follow', 'print events as they happen, until Ctrl-C', examples)
    .option('-o, --output <format>', 'table, json (one line each), or template=TEXT with {{type}}')
    .option('--type <type>', 'such as instance.updated or task.created; several times: several', collect)
    .option('--project <project>', 'of this project only', collect)
    .option('--instance <instance>', 'of this instance only', collect)
    .option('--after <id>', 'after this event; 0: from the oldest that is stored (default: new ones)')
    .action(follow);
}

async function follow(flags: FollowFlags): Promise<void> {
  const { form, template } = formatOf<Event>(flags, []);
  const client = connect(flags);
  const [projectID, resourceID] = await Promise.all([
    Promise.all((flags.project ?? []).map((text) => idIn(client, 'project', text))),
    Promise.all((flags.instance ?? []).map((text) => instanceId(client, text))),
  ]);
  const events = followEvents(client, { type: flags.type ?? [], projectID, resourceID, after: flags.after });
  for await (const event of events) {
    if (form === 'json') await print(`${JSON.stringify(event)}\n`);
    else if (form === 'template') await print(`${filled(template, event)}\n`);
    else await print(`${lineOf(event)}\n`);
  }
}

function lineOf({ time, type, resourceId, resource }: Event): string {
  const name = memberAt(resource, 'metadata.name') ?? memberAt(resource, 'subject.name') ?? resourceId;
  const state = memberAt(resource, 'status.powerState') ?? memberAt(resource, 'status');
  const told = typeof state === 'string' ? `  ${state}` : '';
  return `${styled(time, 'dim')}  ${type.padEnd(17)}  ${visible(textOf(name))}${visible(told)}`;
}
