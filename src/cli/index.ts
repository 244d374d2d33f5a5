/**
 * The commands that call a server. Each noun is a file, loaded when it is used: nothing else delays the start. Only the
 * REST client is imported, so the command line has no other way in.
 */
import type { Command } from 'commander';
import { exitCodes, kindOf, linesOf } from './failure.js';
import { rootHelp } from './help.js';
import { endWithReader, note } from './terminal.js';

interface Noun {
  addVerbs: (noun: Command) => void;
}

/** In the order of the help. */
const nouns: readonly (readonly [name: string, summary: string, load: () => Promise<Noun>])[] = [
  ['instance', 'create, start, stop, resize, delete and watch instances', () => import('./instance.js')],
  ['image', 'what instances start from', () => import('./image.js')],
  ['flavor', 'sizes of instances', () => import('./flavor.js')],
  ['region', 'places that run instances', () => import('./region.js')],
  ['network', 'networks of instances', () => import('./network.js')],
  ['task', 'background work: look at it, follow, abort, restart', () => import('./task.js')],
  ['event', 'follow what happens', () => import('./event.js')],
  ['project', 'projects and their members', () => import('./project.js')],
  ['quota', 'what projects use, and their limits', () => import('./quota.js')],
  ['user', 'users', () => import('./user.js')],
  ['key', 'SSH keys', () => import('./key.js')],
  ['apikey', 'keys for the API', () => import('./apikey.js')],
  ['webhook', 'send events to URLs', () => import('./webhook.js')],
  ['admin', 'settings, flags, banner and audit trail of the site', () => import('./admin.js')],
  ['context', 'several sites, with their keys', () => import('./context.js')],
];

/** Adds the commands; `version` is that of the package. */
export function addClientCommands(program: Command, version: string): void {
  const loaded = new Set<Command>();
  const load = async (command: Command) => {
    const [, , noun] = nouns.find(([name]) => name === command.name()) ?? [];
    if (loaded.has(command)) return;
    loaded.add(command);
    if (noun !== undefined) (await noun()).addVerbs(command);
    else if (command.name() === 'api') (await import('./api.js')).setUp(command);
    else if (command.name() === 'version') (await import('./version.js')).setUp(command, version);
    else if (command.name() === 'completion') (await import('./completion.js')).setUp(command, program, load);
  };
  for (const [name, summary] of nouns) program.command(name).description(summary);
  program.command('api').description('call the API as it is: copse api METHOD PATH');
  program.command('completion').description('completion for bash, zsh and fish');
  program.command('version').description('versions of this program and of the server');
  const client = [...program.commands];
  const others = () => program.commands.filter((command) => !client.includes(command));
  program.helpInformation = () => rootHelp(client, others());
  program.hook('preSubcommand', (_program, command) => load(command));
}

/** What went wrong, for people; the exit code says which kind it is. */
export function report(error: unknown): void {
  note(linesOf(error).join('\n'));
  process.exitCode = exitCodes[kindOf(error)];
}

export { endWithReader, exitCodes };
