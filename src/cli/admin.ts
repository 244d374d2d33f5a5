/** copse admin: what superusers do to the whole site. */
import type { Command } from 'commander';
import { closest } from 'fastest-levenshtein';
import type { AuditEvent } from '../model/audit.js';
import type { Banner, Settings } from '../model/settings.js';
import { usageError } from './failure.js';
import { listVerb } from './list.js';
import { segment } from './lookup.js';
import { type Column, type Format, formatOf, printOne } from './output.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, pairOf, printing, verb } from './verb.js';

const auditColumns: Column<AuditEvent>[] = [
  { name: 'time', value: ({ time }) => time, kind: 'time' },
  { name: 'user', value: ({ user }) => user.name },
  { name: 'action', value: ({ action }) => action },
  { name: 'resource', value: ({ resource }) => `${resource.type}/${resource.id}` },
  { name: 'id', value: ({ id }) => id },
  { name: 'request', value: ({ requestId }) => requestId, hidden: true },
];

export function addVerbs(noun: Command): void {
  printing(
    verb(noun, 'settings [changes...]', 'show or change the settings of the site', [
      'copse admin settings',
      'copse admin settings instances.maxLifetime=30 limits.requests=null',
    ]),
  ).action(settings);
  printing(
    verb(noun, 'flags [changes...]', 'show or change what is switched on', [
      'copse admin flags',
      'copse admin flags creation=off',
    ]),
  ).action(flagsOf);
  printing(
    verb(
      noun,
      'banner [text]',
      'show or set the banner',
      'copse admin banner "Maintenance at noon" --theme warning',
    ),
  )
    .option('--theme <theme>', 'announcement, information, warning or important')
    .option('--clear', 'remove it')
    .action(banner);
  listVerb<AuditEvent>(
    noun,
    'audit',
    'list the audit trail, the newest first',
    'copse admin audit --filter user=ann',
    {
      columns: auditColumns,
      source: '/api/v2/admin/events?descending=true',
      filters: {
        user: { parameter: 'user' },
        type: { parameter: 'type' },
        resource: { parameter: 'resourceID' },
        since: { parameter: 'since' },
        until: { parameter: 'until' },
      },
    },
  );
  verb(
    noun,
    'revert <record>',
    'undo a change of the audit trail',
    'copse admin revert 01a1fc40-e4c0-7555-8353-2d75db03d2a7',
  ).action(async (id: string, flags: CommonFlags) => {
    const client = connect(flags);
    await client.post('/api/v2/admin/revert', { id }, { idempotencyKey: crypto.randomUUID() });
    await print(`Undid ${segment(id)}.\n`);
  });
}

/** Each member on a line of its own. */
function membersOf(value: object, path = ''): Column<object>[] {
  return Object.entries(value).flatMap(([name, below]: [string, unknown]): Column<object>[] =>
    typeof below === 'object' && below !== null && !Array.isArray(below)
      ? membersOf(below, `${path}${name}.`)
      : [{ name: `${path}${name}`, value: () => below }],
  );
}

async function printMembers(value: object, flags: CommonFlags): Promise<void> {
  const columns = membersOf(value);
  const format: Format<object> = formatOf(flags, columns);
  await printOne(value, format);
}

async function settings(changes: string[], flags: CommonFlags): Promise<void> {
  const pairs = changes.map((text) => pairOf(text, 'the change'));
  const patch = {};
  for (const [path, text] of pairs) setMember(patch, path.split('.'), valueOf(text));
  const client = connect(flags);
  const path = '/api/v2/admin/settings';
  const { body } =
    pairs.length === 0 ? await client.get<Settings>(path) : await client.patch<Settings>(path, patch);
  await printMembers(body, flags);
}

/** JSON, or a list of words. */
function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text.split(',').map((word) => word.trim());
  }
}

function setMember(tree: Record<string, unknown>, [name = '', ...rest]: string[], value: unknown): void {
  if (rest.length === 0) {
    Object.defineProperty(tree, name, { value, enumerable: true, configurable: true, writable: true });
    return;
  }
  const below = Object.hasOwn(tree, name) ? tree[name] : undefined;
  const next = typeof below === 'object' && below !== null ? (below as Record<string, unknown>) : {};
  setMember(next, rest, value);
  setMember(tree, [name], next);
}

const switches: Readonly<Record<string, boolean>> = { on: true, off: false, true: true, false: false };

async function flagsOf(changes: string[], flags: CommonFlags): Promise<void> {
  const patch = Object.fromEntries(
    changes.map((text) => {
      const [name, value] = pairOf(text, 'the change');
      const state = Object.hasOwn(switches, value) ? switches[value] : undefined;
      if (state === undefined)
        throw usageError(`${text}: on or off is expected.`, `Did you mean ${closest(value, ['on', 'off'])}?`);
      return [name, state];
    }),
  );
  const client = connect(flags);
  const path = '/api/v2/admin/service_flags';
  const { body } =
    changes.length === 0 ? await client.get<object>(path) : await client.patch<object>(path, patch);
  const shown = Object.entries(body).map(([name, on]: [string, unknown]) => [
    name,
    on === true ? 'on' : 'off',
  ]);
  await printMembers(flags.output === undefined ? (Object.fromEntries(shown) as object) : body, flags);
}

async function banner(
  text: string | undefined,
  flags: CommonFlags & { theme?: string; clear?: boolean },
): Promise<void> {
  if (text !== undefined && flags.clear === true) throw usageError('A text and --clear exclude each other.');
  if (text === undefined && flags.theme !== undefined)
    throw usageError('--theme needs the text of the banner.');
  const isRead = text === undefined && flags.clear !== true;
  const client = connect(flags, { anonymous: isRead });
  const path = '/api/v2/admin/banner';
  const wanted = { banner: text ?? '', theme: flags.clear === true ? '' : (flags.theme ?? '') };
  const { body } = isRead ? await client.get<Banner>(path) : await client.put<Banner>(path, wanted);
  await printMembers(body, flags);
}
