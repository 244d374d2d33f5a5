/**
 * Where log lines leave the process. This is a side channel: a full disk, or a reader that is gone or does not read,
 * may cost lines, never the service. Lost lines are counted, and reported once lines can be written again.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';

/** Bytes collected before they are written: one system call for about forty lines of a busy server. */
const batch = 16_384;

/** Maximum number of UTF-8 bytes per unit of a string's length. */
const widest = 3;

/** Milliseconds that a line waits at most, and between two attempts to write. */
const delay = 100;

/** The same while the reader merely has not caught up. */
const shortDelay = 5;

/** Bytes buffered while writing fails; later lines are lost. */
const keptLimit = 2 ** 20;

/** Milliseconds that the shutdown waits for a slow reader. */
const lastWait = 1000;

const standardOutput = 1;

interface Chunk {
  bytes: Buffer;
  lines: number;
}

/** Called when lines were lost and can be written again. Returns the line that reports it. */
export type TellLost = (lost: number, cause: string) => string;

/**
 * The descriptor to write to, which must never block: the process would stand still as long as nobody reads. Pipes and
 * terminals are reopened, so that other writers are not affected.
 */
function nonBlocking(): number {
  try {
    // A file never blocks, and a reopened one would be written from its beginning.
    if (fstatSync(standardOutput).isFile()) return standardOutput;
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${standardOutput}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // A socket (systemd, Docker), or not this user's. Node makes those non-blocking when it creates its stream for
    // them.
    return process.stdout.fd;
  }
}

/**
 * Pending lines, as bytes: joining strings would cost as much again when they are encoded. They are written in order;
 * what cannot be written waits, and the oldest part stays first, since it may begin in the middle of a line.
 */
export class LogOutput {
  readonly #tellLost: TellLost;
  readonly #descriptor: number;
  readonly #bytes = Buffer.allocUnsafe(batch);
  #used = 0;
  #lines = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #lostNow = 0;
  #lost = 0;
  /**
   * Why the last write failed, and why lines were lost first: a reader that merely has to catch up is less important.
   */
  #cause = '';
  #lostCause = '';

  constructor(tellLost: TellLost) {
    this.#tellLost = tellLost;
    this.#descriptor = nonBlocking();
  }

  /** Lines lost since startup. */
  get lost(): number {
    return this.#lost;
  }

  write(line: string): void {
    if (line.length * widest > batch - this.#used) this.#pass();
    if (line.length * widest > batch) this.#send({ bytes: Buffer.from(line), lines: 1 });
    else {
      this.#used += this.#bytes.write(line, this.#used);
      this.#lines += 1;
    }
    this.#timer ??= setTimeout(() => this.flushSync(), delay).unref();
  }

  /** Writes what is buffered, as far as possible now. pino calls it after a fatal line. */
  flushSync(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pass();
    this.#retry();
    if (this.#waiting.length === 0) return;
    const pause = this.#cause === 'EAGAIN' ? shortDelay : delay;
    this.#timer = setTimeout(() => this.flushSync(), pause).unref();
  }

  /** At the end of the process: a slow reader gets a moment, since there is no later. */
  end(): void {
    const end = performance.now() + lastWait;
    const clock = new Int32Array(new SharedArrayBuffer(4));
    this.flushSync();
    while (this.#waiting.length > 0 && this.#cause === 'EAGAIN' && performance.now() < end) {
      Atomics.wait(clock, 0, 0, 10);
      this.flushSync();
    }
  }

  /** Passes on what is buffered. */
  #pass(): void {
    if (this.#used === 0) return;
    const chunk = { bytes: this.#bytes.subarray(0, this.#used), lines: this.#lines };
    this.#used = 0;
    this.#lines = 0;
    this.#send(chunk);
  }

  #send({ bytes, lines }: Chunk): void {
    if (this.#waiting.length > 0) this.#retry();
    if (this.#waiting.length === 0) {
      const rest = this.#attempt(bytes);
      if (rest.length > 0) this.#keep(rest);
    } else if (this.#waitingBytes + bytes.length > keptLimit) {
      if (this.#lostNow === 0) this.#lostCause = this.#cause;
      this.#lost += lines;
      this.#lostNow += lines;
    } else this.#keep(bytes);
  }

  /** As a copy, after earlier parts: a view of a few bytes would keep the whole buffer alive. */
  #keep(bytes: Buffer): void {
    const last = this.#waiting.at(-1);
    this.#waitingBytes += bytes.length;
    if (last !== undefined && last.length + bytes.length <= batch)
      this.#waiting.splice(-1, 1, Buffer.concat([last, bytes]));
    else this.#waiting.push(Buffer.from(bytes));
  }

  #retry(): void {
    for (let bytes = this.#waiting[0]; bytes !== undefined; bytes = this.#waiting[0]) {
      const rest = this.#attempt(bytes);
      this.#waitingBytes -= bytes.length - rest.length;
      if (rest.length > 0) {
        this.#waiting[0] = rest;
        return;
      }
      this.#waiting.shift();
    }
    if (this.#lostNow === 0) return;
    const line = this.#tellLost(this.#lostNow, this.#lostCause);
    this.#lostNow = 0;
    this.#send({ bytes: Buffer.from(line), lines: 1 });
  }

  /** The part of the bytes that could not be written. */
  #attempt(bytes: Buffer): Buffer {
    let done = 0;
    try {
      // Writing an empty buffer would loop forever.
      for (let more = -1; more !== 0 && done < bytes.length; done += more)
        more = writeSync(this.#descriptor, bytes, done);
    } catch (error) {
      this.#cause = (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
    return done === 0 ? bytes : bytes.subarray(done);
  }
}
