/** copse version */
import type { Command } from 'commander';
import { findTarget } from './connection.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, described } from './verb.js';

export function setUp(command: Command, version: string): void {
  described(command, 'print the version of this program, and of the server if one answers', 'copse version')
    .option('--context <name>', 'the site to use ("copse context list")')
    .option('--url <url>', 'the server to use, with the key of COPSE_API_KEY')
    .option('-o, --output <format>', 'table or json')
    .action(async (flags: CommonFlags) => {
      const { url } = findTarget(flags);
      const server = await serverVersion(flags);
      const told = { client: version, server: server ?? null, url };
      if (flags.output === 'json') return print(`${JSON.stringify(told, null, 2)}\n`);
      await print(`client  ${version}\nserver  ${server ?? 'none answers'} (${url})\n`);
    });
}

async function serverVersion(flags: CommonFlags): Promise<string | undefined> {
  try {
    const client = connect(flags, { anonymous: true, retries: 0, timeout: 5000 });
    return (await client.get<{ version: string }>('/api/version')).body.version;
  } catch {
    return undefined;
  }
}
