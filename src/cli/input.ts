/** Values that several options take. */
import { readFileSync } from 'node:fs';
import { usageError } from './failure.js';

const lengths: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

export function expiryOf(text: string): string {
  const [, amount, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const time =
    amount === undefined || unit === undefined
      ? Date.parse(text)
      : Date.now() + Number(amount) * (lengths[unit] ?? 0);
  const isTime = amount !== undefined || /^\d{4}-\d\d-\d\d/.test(text);
  if (!isTime || Number.isNaN(time))
    throw usageError(
      `--expires ${text}: a time such as 2027-01-31T12:00:00Z, or 30m, 8h or 7d, is expected.`,
    );
  return new Date(time).toISOString();
}

export function readInput(file: string, option: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    throw usageError(`${option} ${file}: ${(error as NodeJS.ErrnoException).code ?? 'it cannot be read'}.`);
  }
}
