/** What the commands share: options, the session with the server, and the help with an example. */
import type { Command } from 'commander';
import { Client, type ClientOptions } from '../client/client.js';
import { type ConnectionFlags, findTarget } from './connection.js';
import { CliError, usageError } from './failure.js';
import type { OutputFlags } from './output.js';
import { send } from './transport.js';

/** How often a request is repeated that may succeed later. */
const retries = 2;

export interface CommonFlags extends ConnectionFlags, OutputFlags {}

/** A command below a noun, such as `show <instance>`. */
export function verb(noun: Command, usage: string, summary: string, examples: string | string[]): Command {
  return described(noun.command(usage), summary, examples)
    .option('--context <name>', 'the site to use ("copse context list")')
    .option('--url <url>', 'the server to use, with the key of COPSE_API_KEY');
}

export function described(command: Command, summary: string, examples: string | string[]): Command {
  const lines = [examples].flat().map((line) => `  ${line}`);
  const title = lines.length === 1 ? 'Example' : 'Examples';
  return command.description(summary).addHelpText('after', `\n${title}:\n${lines.join('\n')}`);
}

/** The same for a command that prints resources. */
export function printing(command: Command): Command {
  return command
    .option('-o, --output <format>', 'table, json, yaml, csv, name, or template=TEXT with {{metadata.name}}')
    .option('--columns <names>', 'columns to print, separated by commas; also paths such as metadata.name');
}

/** Without `anonymous`, a key must be known. */
export function connect(
  flags: ConnectionFlags,
  { anonymous = false, ...options }: ClientOptions & { anonymous?: boolean } = {},
): Client {
  const { url, key, from } = findTarget(flags);
  if (key === undefined && !anonymous)
    throw new CliError(
      'auth',
      `No key is known for ${url} (${from}).`,
      'Set COPSE_API_KEY, add a context with "copse context add", or run where the data folder of the server is.',
    );
  return new Client(url, key, { retries, fetch: send, ...options });
}

/** A whole number, such as of an option. */
export function wholeNumber(text: string, name: string, least: number, most: number): number {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most))
    throw usageError(`${name} ${text}: a whole number from ${least} to ${most} is expected.`);
  return value;
}

/** `name=value`. */
export function pairOf(text: string, name: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`${name} ${text}: NAME=VALUE is expected.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** For an option that may be given several times. */
export function collect(value: string, former: string[] | undefined): string[] {
  return [...(former ?? []), value];
}
