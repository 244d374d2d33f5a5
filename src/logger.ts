/** The one place that knows pino. One JSON line per event on standard output. */
import { destination, pino } from 'pino';
import type { Config } from './config.js';
import type { Log } from './model/log.js';

/** Characters gathered before they are written: one system call for some forty lines of a busy server. */
const batch = 12_288;

/** Milliseconds that a line waits at most. */
const delay = 100;

export interface Logger extends Log {
  /** Writes out what is gathered. */
  flush(): void;
}

let told = { at: NaN, text: '' };

/** pino's own isoTime, which makes the text anew for each of the ten lines that a busy server writes in a millisecond. */
function isoTime(): string {
  const at = Date.now();
  if (at !== told.at) told = { at, text: `,"time":"${new Date(at).toISOString()}"` };
  return told.text;
}

/** Lines on their way out. sonic-boom gathers too, but counts the bytes of all of them at each, which costs more than a line. */
class Gathered {
  readonly #output = destination({ dest: 1, sync: true });
  #text = '';
  #timer: NodeJS.Timeout | undefined;

  write(line: string): void {
    this.#text += line;
    if (this.#text.length >= batch) this.flushSync();
    else this.#timer ??= setTimeout(() => this.flushSync(), delay).unref();
  }

  /** pino calls it after a fatal line. */
  flushSync(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#output.write(text);
  }
}

export function createLogger(level: Config['log']['level']): Logger {
  const output = new Gathered();
  process.on('exit', () => output.flushSync());
  const log = pino(
    {
      level,
      base: { service: 'copse' },
      timestamp: isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  );
  return Object.assign(log, { flush: () => output.flushSync() });
}
