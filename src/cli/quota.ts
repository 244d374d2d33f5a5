/** copse quota: what projects may use, and use. */
import type { Command } from 'commander';
import type { Quota } from '../model/quota.js';
import { usageError } from './failure.js';
import { idIn, segment } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { type CommonFlags, connect, pairOf, printing, verb, wholeNumber } from './verb.js';

const members = ['instances', 'cpus', 'memory', 'disk', 'snapshots'] as const;

const columns: Column<Quota>[] = members.map((name) => ({
  name,
  value: ({ used, limits }) => `${used[name]} of ${limits[name] ?? 'any number'}`,
}));

export function addVerbs(noun: Command): void {
  printing(
    verb(noun, 'show <project>', 'what a project uses, and its limits', 'copse quota show default'),
  ).action(async (project: string, flags: CommonFlags) => {
    const format = formatOf(flags, columns);
    const client = connect(flags);
    const path = `/api/v2/projects/${segment(await idIn(client, 'project', project))}/quota`;
    await printOne((await client.get<Quota>(path)).body, format);
  });
  const example = 'copse quota set default instances=10 cpus=none';
  printing(verb(noun, 'set <project> <limits...>', 'change limits (superusers only)', example)).action(set);
}

async function set(project: string, changes: string[], flags: CommonFlags): Promise<void> {
  const format = formatOf(flags, columns);
  const wanted = changes.map((text): [string, number | undefined] => {
    const [name, value] = pairOf(text, 'the limit');
    if (!members.some((member) => member === name))
      throw usageError(`"${name}" has no limit. The limits are ${members.join(', ')}.`);
    return [name, value === 'none' ? undefined : wholeNumber(value, `${name}=`, 0, 1_000_000_000)];
  });
  const client = connect(flags);
  const path = `/api/v2/projects/${segment(await idIn(client, 'project', project))}/quota`;
  const { limits } = (await client.get<Quota>(path)).body;
  const next = { ...limits, ...Object.fromEntries(wanted) };
  await printOne((await client.put<Quota>(path, { limits: next })).body, format);
}
