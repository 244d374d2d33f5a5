/** The one place that knows pino. One JSON line per event on standard output. */
import { destination, pino } from 'pino';
import type { Config } from './config.js';
import type { Log } from './model/log.js';

/** Bytes gathered before they are written: one system call for some fifteen lines of a busy server. */
const batch = 4096;

/** Milliseconds that a line waits at most. */
const delay = 100;

export interface Logger extends Log {
  /** Writes out what is gathered. */
  flush(): void;
}

export function createLogger(level: Config['log']['level']): Logger {
  const output = destination({ dest: 1, sync: true, minLength: batch, periodicFlush: delay });
  process.on('exit', () => output.flushSync());
  const log = pino(
    {
      level,
      base: { service: 'copse' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  );
  return Object.assign(log, { flush: () => output.flushSync() });
}
