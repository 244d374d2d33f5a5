/** The only module that uses pino. One JSON line per event on standard output. */
import { pino } from 'pino';
import type { Config } from '../config.js';
import { LogOutput } from './log-output.js';
import type { Log } from '../model/log.js';

export interface Logger extends Log {
  /** Before the process ends because of it. */
  fatal(details: object, message: string): void;
  /** Writes what is buffered. */
  flush(): void;
  /** Lines that could not be written since startup. */
  lost(): number;
}

const base = { service: 'copse' };

let told = { at: NaN, text: '' };

/**
 * pino's own isoTime would build the text again for each of the ten lines that a busy server writes in a millisecond.
 */
function isoTime(): string {
  const at = Date.now();
  if (at !== told.at) told = { at, text: `,"time":"${new Date(at).toISOString()}"` };
  return told.text;
}

/** Regardless of the level: lines of that level are missing. */
function lostLine(lost: number, cause: string): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ level: 'warn', time, ...base, lost, cause, msg: 'log lines were lost' })}\n`;
}

export function createLogger(level: Config['log']['level']): Logger {
  const output = new LogOutput(lostLine);
  process.on('exit', () => output.end());
  const log = pino(
    { level, base, timestamp: isoTime, formatters: { level: (label) => ({ level: label }) } },
    output,
  );
  return Object.assign(log, { flush: () => output.flushSync(), lost: () => output.lost });
}
