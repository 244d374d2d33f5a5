/** The load: 32 keep-alive connections from another core, by wrk or, if it is missing, by autocannon. */
import { execFile } from 'node:child_process';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import autocannon from 'autocannon';

export const connections = 32;

/** Requests of one job for one server. */
export interface Load {
  url: string;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  /** Used in turn, starting over after the last. */
  paths: readonly string[];
  /** For POST: the body around each request's own name. */
  body?: { before: string; after: string };
}

export interface LoadResult {
  requests: number;
  seconds: number;
  /** Milliseconds, the median. */
  p50: number;
}

export type Generator = (load: Load, seconds: number, folder: string) => Promise<LoadResult>;

const run = promisify(execFile);
let created = 0;

/** A prefix unique to this run, for names that are unique per project. */
function freshPrefix(): string {
  created += 1;
  return `bench-${process.pid}-${created}-`;
}

/** The signal ends a running generator. */
export function generator(signal: AbortSignal): { name: string; generate: Generator } {
  const folders = (process.env['PATH'] ?? '').split(':');
  const wrk = folders.map((folder) => join(folder, 'wrk')).find(executable);
  return wrk === undefined
    ? { name: 'autocannon', generate: byAutocannon }
    : { name: 'wrk', generate: (load, seconds, folder) => byWrk(wrk, load, seconds, folder, signal) };
}

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** JSON texts are valid Lua here: its short strings have the same escapes for what occurs. */
function quote(text: string): string {
  return JSON.stringify(text);
}

function luaScript({ method, headers, paths, body }: Load): string {
  const fields = Object.entries(headers).map(([name, value]) => `  [${quote(name)}] = ${quote(value)},`);
  const build =
    body === undefined
      ? ['  return ready[at]']
      : [
          '  count = count + 1',
          `  return wrk.format(${quote(method)}, paths[at], headers, before .. prefix .. count .. after)`,
        ];
  return [
    `local headers = {\n${fields.join('\n')}\n}`,
    `local paths = {\n${paths.map((path) => `  ${quote(path)},`).join('\n')}\n}`,
    `local prefix, before, after = ${quote(freshPrefix())}, ${quote(body?.before ?? '')}, ${quote(body?.after ?? '')}`,
    'local ready, at, count = {}, 0, 0',
    'function init()',
    `  for i, path in ipairs(paths) do ready[i] = wrk.format(${quote(method)}, path, headers) end`,
    'end',
    'function request()',
    '  at = at % #paths + 1',
    ...build,
    'end',
    'function done(summary, latency)',
    '  local e = summary.errors',
    '  io.write(string.format(\'RESULT {"requests":%d,"micros":%d,"p50":%d,"bad":%d,"broken":%d}\\n\',',
    '    summary.requests, summary.duration, latency:percentile(50), e.status, e.connect + e.read + e.write + e.timeout))',
    'end',
  ].join('\n');
}

async function byWrk(
  wrk: string,
  load: Load,
  seconds: number,
  folder: string,
  signal: AbortSignal,
): Promise<LoadResult> {
  const script = join(folder, 'load.lua');
  writeFileSync(script, luaScript(load));
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, load.url];
  const { stdout } = await run(wrk, options, { signal });
  const line = stdout.split('\n').find((text) => text.startsWith('RESULT '));
  if (line === undefined) throw new Error(`wrk gave no result:\n${stdout.slice(0, 2000)}`);
  const result = JSON.parse(line.slice('RESULT '.length)) as Record<
    'requests' | 'micros' | 'p50' | 'bad' | 'broken',
    number
  >;
  refuse(load, result.bad, result.broken, result.requests);
  return { requests: result.requests, seconds: result.micros / 1e6, p50: result.p50 / 1000 };
}

async function byAutocannon(load: Load, seconds: number): Promise<LoadResult> {
  const prefix = freshPrefix();
  const { url, method, headers, paths, body } = load;
  let at = 0;
  const result = await autocannon({
    url,
    connections,
    duration: seconds,
    requests: [
      {
        method,
        headers,
        setupRequest: (request) => {
          at += 1;
          const path = paths[at % paths.length] ?? '/';
          if (body === undefined) return { ...request, path };
          return { ...request, path, body: `${body.before}${prefix}${at}${body.after}` };
        },
      },
    ],
  });
  refuse(load, result.non2xx, result.errors, result.requests.total);
  return { requests: result.requests.total, seconds: result.duration, p50: result.latency.p50 };
}

/** A run with failures measures something else. */
function refuse({ url, method, paths }: Load, bad: number, broken: number, requests: number): void {
  if (bad === 0 && broken === 0 && requests > 0) return;
  throw new Error(
    `${method} ${url}${paths[0] ?? ''}: of ${requests} answers ${bad} were errors, and ${broken} connections broke`,
  );
}
