/** Which server is meant, and with which key: a context, the environment, or the local server. */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { closest } from 'fastest-levenshtein';
import { CliError, usageError } from './failure.js';

export interface ConnectionFlags {
  context?: string;
  url?: string;
}

export interface Target {
  url: string;
  key: string | undefined;
  /** Where the address comes from, for people. */
  from: string;
}

export interface Contexts {
  current?: string;
  contexts: Record<string, { url: string; key?: string }>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function contextFile(environment: Environment): string {
  const base = environment['XDG_CONFIG_HOME'] ?? join(environment['HOME'] ?? homedir(), '.config');
  return join(base, 'copse', 'contexts.json');
}

export function readContexts(environment: Environment = process.env): Contexts {
  const file = contextFile(environment);
  if (!existsSync(file)) return { contexts: {} };
  if ((statSync(file).mode & 0o077) !== 0)
    throw new CliError('auth', `Others can read the keys in ${file}.`, `Run: chmod 600 ${file}`);
  try {
    const { current, contexts } = JSON.parse(readFileSync(file, 'utf8')) as Contexts;
    if (typeof contexts === 'object') return { ...(current === undefined ? {} : { current }), contexts };
  } catch (cause) {
    throw new CliError('failure', `${file} is not JSON: ${(cause as Error).message}`, 'Mend or remove it.');
  }
  throw new CliError('failure', `${file} has no contexts.`, 'Mend or remove it.');
}

/** Replaces the file in one step; only the owner may read it. */
export function writeContexts(contexts: Contexts, environment: Environment = process.env): string {
  const file = contextFile(environment);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600 });
  chmodSync(draft, 0o600);
  renameSync(draft, file);
  return file;
}

export function contextNamed({ contexts }: Contexts, name: string): { url: string; key?: string } {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(contexts);
  throw usageError(
    `There is no context "${name}".`,
    names.length === 0 ? 'Add it: copse context add NAME --url URL' : `Did you mean ${closest(name, names)}?`,
  );
}

/** The URL, checked. */
export function serverUrl(text: string, from: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw usageError(`${from}: "${text}" is not a URL of a server, such as https://copse.example.com.`);
  return text.replace(/\/+$/, '');
}

export function findTarget(flags: ConnectionFlags, environment: Environment = process.env): Target {
  const variable = environment['COPSE_URL'] === '' ? undefined : environment['COPSE_URL'];
  const key = environment['COPSE_API_KEY'] === '' ? undefined : environment['COPSE_API_KEY'];
  if (flags.url !== undefined) return keyed(serverUrl(flags.url, '--url'), key, '--url', environment);
  const known = readContexts(environment);
  const name = flags.context ?? known.current;
  if (name !== undefined) {
    const context = contextNamed(known, name);
    return { url: context.url, key: context.key ?? key, from: `context ${name}` };
  }
  if (variable !== undefined) return keyed(serverUrl(variable, 'COPSE_URL'), key, 'COPSE_URL', environment);
  const port = environment['COPSE_SERVER_PORT'] ?? '8080';
  return keyed(`http://127.0.0.1:${port}`, key, 'the local server', environment);
}

/** A server on this machine has the key of its superuser in its data folder. */
function keyed(url: string, key: string | undefined, from: string, environment: Environment): Target {
  const isLocal = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(new URL(url).hostname);
  return { url, key: key ?? (isLocal ? localKey(environment) : undefined), from };
}

function localKey(environment: Environment): string | undefined {
  const file = join(environment['COPSE_DATA_DIR'] ?? 'data', 'admin.key');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
