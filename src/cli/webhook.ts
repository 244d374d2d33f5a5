/** copse webhook: subscriptions whose events are sent to a URL. */
import type { Command } from 'commander';
import type { Selector, Subscription, WrittenSubscription } from '../model/subscription.js';
import { confirm, confirming } from './change.js';
import { listVerb } from './list.js';
import { idIn, segment } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { note, print } from './terminal.js';
import { collect, type CommonFlags, connect, pairOf, printing, verb } from './verb.js';

const columns: Column<Subscription>[] = [
  { name: 'id', value: ({ id }) => id },
  { name: 'url', value: ({ subscriber }) => subscriber.url },
  { name: 'state', value: ({ status }) => status.state, kind: 'state' },
  {
    name: 'events',
    value: ({ selectors }) => selectors.map(({ type, data }) => `${type}=${data}`).join(' ') || 'all',
  },
  { name: 'created', value: ({ creationTime }) => creationTime, kind: 'time' },
  { name: 'reason', value: ({ status }) => status.reason, hidden: true },
];

interface WebhookFlags extends CommonFlags {
  project?: string;
  select?: string[];
  secret?: string;
  yes?: boolean;
}

export function addVerbs(noun: Command): void {
  listVerb<Subscription>(noun, 'list', 'list webhooks', 'copse webhook list', {
    columns,
    source: async (client, { project }) =>
      typeof project === 'string'
        ? `/api/v2/subscriptions?ownerType=project&owner=${await idIn(client, 'project', project)}`
        : '/api/v2/subscriptions',
  }).option('--project <project>', 'those of a project (default: your own)');
  const example = 'copse webhook create https://example.com/hook --select type=instance.created';
  printing(verb(noun, 'create <url>', 'send events to a URL', example))
    .option('--select <what=value>', 'resource=…, type=…, tag=… or outcome=…; none: every event', collect)
    .option('--project <project>', 'for a project (default: for you)')
    .option('--secret <secret>', 'whsec_…, which signs the deliveries (default: a new one)')
    .action(create);
  confirming(verb(noun, 'delete <id>', 'delete a webhook', 'copse webhook delete ID --yes')).action(
    async (id: string, flags: WebhookFlags) => {
      await confirm(`Delete the webhook ${id}?`, flags);
      await connect(flags).delete(`/api/v2/subscriptions/${segment(id)}`);
      await print('Deleted.\n');
    },
  );
}

async function create(url: string, flags: WebhookFlags): Promise<void> {
  const format = formatOf<WrittenSubscription>(flags, columns);
  const selectors = (flags.select ?? []).map((text) => {
    const [type, data] = pairOf(text, '--select');
    return { type: type as Selector['type'], data };
  });
  const client = connect(flags);
  const owner =
    flags.project === undefined
      ? {}
      : { ownerType: 'project', owner: await idIn(client, 'project', flags.project) };
  const secret = flags.secret === undefined ? {} : { secret: flags.secret };
  const body = { ...owner, selectors, subscriber: { type: 'webhook', url, ...secret } };
  const { body: made } = await client.post<WrittenSubscription>('/api/v2/subscriptions', body);
  if (flags.output !== undefined) return printOne(made, format);
  await print(`Created ${made.id}.\n`);
  if (made.subscriber.secret === undefined) return;
  note('The secret that signs the deliveries is shown only this once:');
  await print(`${made.subscriber.secret}\n`);
}
