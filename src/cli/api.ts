/** copse api METHOD PATH: a call as it is, with the key, and with all pages if wanted. */
import type { Command } from 'commander';
import { closest } from 'fastest-levenshtein';
import type { Call } from '../client/client.js';
import { usageError } from './failure.js';
import { readInput } from './input.js';
import { ListPrinter } from './output.js';
import { note, print } from './terminal.js';
import { type CommonFlags, connect, described } from './verb.js';

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

interface ApiFlags extends CommonFlags {
  data?: string;
  all?: boolean;
  include?: boolean;
  idempotencyKey?: string;
}

export function setUp(command: Command): void {
  described(command, 'call the API as it is, with your key', [
    "copse api GET '/api/v2/instances?limit=1000' --all",
    'copse api POST /api/v2/instances --data @instance.json',
  ])
    .argument('<method>', methods.join(', '))
    .argument('<path>', 'such as /api/v2/instances; the server lists all at /docs')
    .option('-d, --data <json>', 'the body: JSON, @FILE, or - for standard input')
    .option('--all', 'follow the links to the next pages, and print one array')
    .option('-i, --include', 'print status and headers to standard error')
    .option('--idempotency-key <key>', 'of a POST (default: a new one)')
    .option('--context <name>', 'the site to use ("copse context list")')
    .option('--url <url>', 'the server to use, with the key of COPSE_API_KEY')
    .action(call);
}

async function call(method: string, path: string, flags: ApiFlags): Promise<void> {
  const verb = methods.find((one) => one === method.toUpperCase());
  if (verb === undefined)
    throw usageError(
      `"${method}" is no method.`,
      `Did you mean ${closest(method.toUpperCase(), [...methods])}?`,
    );
  if (!path.startsWith('/') || path.startsWith('//'))
    throw usageError(`"${path}" is no path.`, 'It begins with "/", such as /api/v2/instances.');
  if (flags.all === true && verb !== 'GET') throw usageError('--all is for GET.');
  const body = flags.data === undefined ? undefined : bodyOf(flags.data);
  const client = connect(flags, { anonymous: true });
  if (flags.all === true) {
    const printer = new ListPrinter<unknown>({ form: 'json', template: '', columns: [] });
    for await (const page of client.pages<unknown>(path)) {
      if (!Array.isArray(page.body)) throw usageError(`${path} is no list.`, 'Call it without --all.');
      await printer.page(page.body);
    }
    return printer.end();
  }
  const request: Call = { method: verb, url: path, ...(body === undefined ? {} : { body }) };
  const key = verb === 'POST' ? { idempotencyKey: flags.idempotencyKey ?? crypto.randomUUID() } : {};
  // What it does with the key is not known here.
  const repeatable = verb !== 'POST' || flags.idempotencyKey !== undefined;
  const answer = await client.call<unknown>(request, { ...key, repeatable });
  if (flags.include === true) {
    const lines = [...answer.headers.entries()].map(([name, value]) => `${name}: ${value}`);
    note([`HTTP ${answer.status}`, ...lines, ''].join('\n'));
  }
  if (answer.body !== undefined) await print(`${JSON.stringify(answer.body, null, 2)}\n`);
}

function bodyOf(text: string): unknown {
  const source = text.startsWith('@')
    ? readInput(text.slice(1), '--data').toString('utf8')
    : text === '-'
      ? readInput('-', '--data').toString('utf8')
      : text;
  try {
    return JSON.parse(source);
  } catch (error) {
    throw usageError(`--data is not JSON: ${(error as Error).message}`);
  }
}
