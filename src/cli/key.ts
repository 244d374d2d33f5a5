/** copse key: SSH keys. */
import type { Command } from 'commander';
import type { SshKey } from '../model/ssh-key.js';
import { repeatable } from './change.js';
import { usageError } from './failure.js';
import { readInput } from './input.js';
import { listVerb } from './list.js';
import { segment } from './lookup.js';
import type { Column } from './output.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, verb } from './verb.js';

const columns: Column<SshKey>[] = [
  { name: 'name', value: ({ name }) => name },
  { name: 'fingerprint', value: ({ fingerprint }) => fingerprint },
  { name: 'created', value: ({ creationTime }) => creationTime, kind: 'time' },
  { name: 'key', value: ({ key }) => key, hidden: true },
];

export function addVerbs(noun: Command): void {
  listVerb(noun, 'list', 'list your SSH keys', 'copse key list', { columns, source: '/api/v2/keys' });
  repeatable(
    verb(noun, 'add <name> <file>', 'add a public SSH key', 'copse key add laptop ~/.ssh/id_ed25519.pub'),
  ).action(async (name: string, file: string, flags: CommonFlags & { idempotencyKey?: string }) => {
    const key = readInput(file, 'the file').toString('utf8').trim();
    if (key.includes('PRIVATE KEY'))
      throw usageError(`${file} is a private key.`, `Add ${file}.pub instead.`);
    const idempotencyKey = flags.idempotencyKey ?? crypto.randomUUID();
    const { body } = await connect(flags).post<SshKey>('/api/v2/keys', { name, key }, { idempotencyKey });
    await print(`Added ${name} (${body.fingerprint}).\n`);
  });
  verb(noun, 'delete <name>', 'delete an SSH key', 'copse key delete laptop').action(
    async (name: string, flags: CommonFlags) => {
      await connect(flags).delete(`/api/v2/keys/${segment(name)}`);
      await print(`Deleted ${name}.\n`);
    },
  );
}
