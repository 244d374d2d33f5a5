/** Writing to standard output and standard error: colours on terminals only, and no faster than the reader reads. */
import { once } from 'node:events';
import { exitCodes } from './failure.js';

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;
export type Style = keyof typeof codes;

function isColoured(stream: NodeJS.WriteStream, environment: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';
}

export function styled(text: string, style: Style | undefined, stream = process.stdout): string {
  if (style === undefined || !isColoured(stream)) return text;
  return `\u001b[${codes[style]}m${text}\u001b[0m`;
}

/** Ends the process if nobody reads its output any more: a pipe to head, or a terminal that was closed. */
export function endWithReader(): void {
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    process.exit(code === 'EPIPE' || code === 'EIO' ? exitCodes.brokenPipe : exitCodes.failure);
  });
}

/** Resolves once the text may be followed by more. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Control characters, which a terminal would obey, are made visible. */
export function visible(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, (c) => JSON.stringify(c).slice(1, -1));
}

const units = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const;

/** Such as "3h ago" or "in 2d". */
export function relative(time: string, now = Date.now()): string {
  const seconds = Math.round((Date.parse(time) - now) / 1000);
  if (Number.isNaN(seconds)) return time;
  const [unit, size] = units.find(([, least]) => Math.abs(seconds) >= least) ?? ['s', 1];
  const amount = `${Math.floor(Math.abs(seconds) / size)}${unit}`;
  if (seconds === 0) return 'now';
  return seconds < 0 ? `${amount} ago` : `in ${amount}`;
}
