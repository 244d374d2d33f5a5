/** The one place that knows pino. One JSON line per event on standard output. */
import { destination, pino } from 'pino';
import type { Config } from './config.js';
import type { Log } from './model/log.js';

/** Bytes gathered before they are written: one system call for some forty lines of a busy server. */
const batch = 16_384;

/** Bytes of UTF-8 that a unit of a text's length takes at most. */
const widest = 3;

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

/**
 * Lines on their way out, as bytes: sonic-boom gathers too, but counts the bytes of all of them at each, and texts that are
 * joined cost as much again when they are taken apart.
 */
class Gathered {
  readonly #output = destination({ dest: 1, sync: true, contentMode: 'buffer' });
  #bytes = Buffer.allocUnsafe(batch);
  #used = 0;
  #timer: NodeJS.Timeout | undefined;

  write(line: string): void {
    if (line.length * widest > batch - this.#used) this.flushSync();
    if (line.length * widest > batch) this.#send(Buffer.from(line));
    else this.#used += this.#bytes.write(line, this.#used);
    this.#timer ??= setTimeout(() => this.flushSync(), delay).unref();
  }

  /** pino calls it after a fatal line. */
  flushSync(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#used === 0) return;
    const bytes = this.#bytes.subarray(0, this.#used);
    // After a failure, say of a full disk, it holds on to what it could not write.
    this.#bytes = Buffer.allocUnsafe(batch);
    this.#used = 0;
    this.#send(bytes);
  }

  #send(bytes: Buffer): void {
    // The types know only texts; with this content mode it takes only bytes.
    (this.#output as unknown as { write: (bytes: Buffer) => void }).write(bytes);
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
