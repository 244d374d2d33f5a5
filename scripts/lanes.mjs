// Runs test files in several concurrent mocha processes, with one result. Each has its own stores, servers, ports and
// folders, as every test file has. A lane that has finished its files takes the next ones, so that none stands idle
// while there are some.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import summarize from './summary.cjs';

/** From here on mocha reports the summary. */
const isEnd = (line) => /^ {2}\d+ passing/.test(line);

/** Writes the output, one outermost suite at a time, so that the lanes do not mix; returns the rest. */
async function follow(stream) {
  let block = [];
  let atEnd = false;
  for await (const line of createInterface({ input: stream })) {
    block.push(line);
    atEnd ||= isEnd(line);
    if (line !== '' || atEnd) continue;
    process.stdout.write(block.join('\n') + '\n');
    block = [];
  }
  return block.join('\n');
}

/** One process: its result, and mocha's final output. */
async function run(command, args, file, options) {
  const child = spawn(command, args, {
    ...options,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}),
      COPSE_TEST_LANE: file,
    },
  });
  const pass = (signal) => child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, pass);
  const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
  const end = await follow(child.stdout);
  const how = await ended;
  for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, pass);
  try {
    const result = JSON.parse(readFileSync(file, 'utf8'));
    if (how === 0 || result.failures > 0) return { end, result };
  } catch {
    // It has left no summary.
  }
  const failed = [`! mocha ended with ${how} before its end: ${args.slice(-3).join(' ')}`];
  return { end, result: { passes: 0, failures: 1, pending: 0, failed, files: {} } };
}

/**
 * Runs mocha once for each bundle, `width` at a time and in this order, but never two of those that are `alone` of their
 * kind. Resolves with the exit code.
 */
export async function runLanes(command, bundles, { width, ...options }) {
  const folder = mkdtempSync(join(tmpdir(), 'copse-lanes-'));
  const waiting = [...bundles.entries()];
  const busy = new Set();
  const ends = [];
  const changed = [];
  let interrupted = false;
  const interrupt = () => (interrupted = true);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, interrupt);
  /** The next bundle that may run now; later, if another one must end first; undefined, if there are no more. */
  const next = async () => {
    while (waiting.length > 0 && !interrupted) {
      const at = waiting.findIndex(([, { alone }]) => alone === undefined || !busy.has(alone));
      if (at >= 0) return waiting.splice(at, 1)[0];
      await new Promise((resolve) => changed.push(resolve));
    }
    return undefined;
  };
  const lane = async () => {
    for (let found = await next(); found !== undefined; found = await next()) {
      const [index, { args, alone }] = found;
      if (alone !== undefined) busy.add(alone);
      ends.push(await run(command, args, join(folder, `${index}.json`), options));
      busy.delete(alone);
      for (const resolve of changed.splice(0)) resolve();
    }
  };
  try {
    await Promise.all(Array.from({ length: width }, lane));
    for (const { end, result } of ends) if (result.failures > 0) process.stdout.write(`${end}\n`);
    const results = ends.map(({ result }) => result);
    const sum = (name) => results.reduce((total, result) => total + result[name], 0);
    const whole = { passes: sum('passes'), failures: sum('failures'), pending: sum('pending') };
    const failed = results.flatMap((result) => result.failed);
    if (waiting.length > 0) {
      whole.failures += 1;
      failed.push('! interrupted before all tests had run');
    }
    for (const line of failed) process.stdout.write(`${line}\n`);
    summarize({ ...whole, failed, files: Object.assign({}, ...results.map(({ files }) => files)) });
    return whole.failures > 0 ? 1 : 0;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, interrupt);
    rmSync(folder, { recursive: true, force: true });
  }
}
