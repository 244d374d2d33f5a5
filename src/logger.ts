/** The one place that knows pino. One JSON line per event on standard output. */
import { destination, pino } from 'pino';
import type { Config } from './config.js';
import type { Log } from './model/log.js';

export function createLogger(level: Config['log']['level']): Log {
  return pino(
    {
      level,
      base: { service: 'copse' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    // Asynchronous: a line costs no system call of its own while others wait. Written out at the end of the process.
    destination({ dest: 1, sync: false }),
  );
}
