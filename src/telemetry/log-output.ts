/**
 * Where the lines of the log leave the process. It is a side channel: a disk that is full, a reader that went away or one
 * that does not read may cost lines, never the service. What is lost is counted, and told once lines can be written again.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';

/** Bytes gathered before they are written: one system call for some forty lines of a busy server. */
const batch = 16_384;

/** Bytes of UTF-8 that a unit of a text's length takes at most. */
const widest = 3;

/** Milliseconds that a line waits at most, and those between two tries of what could not be written. */
const delay = 100;

/** The same while a reader only has not caught up. */
const shortDelay = 5;

/** Bytes kept of what cannot be written now; lines behind them are lost. */
const keptLimit = 2 ** 20;

/** Milliseconds that the end of the process waits for a reader that is slow. */
const lastWait = 1000;

const standardOutput = 1;

interface Chunk {
  bytes: Buffer;
  lines: number;
}

/** Told when lines were lost and can be written again. Returns the line that says so. */
export type TellLost = (lost: number, cause: string) => string;

/**
 * The descriptor to write to, which must never block: the process would stand still for as long as nobody reads. Pipes and
 * terminals are opened anew, so that whoever else writes to them is not affected.
 */
function nonBlocking(): number {
  try {
    // A file never blocks, and one that is opened anew would be written from its beginning.
    if (fstatSync(standardOutput).isFile()) return standardOutput;
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${standardOutput}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // A socket (systemd, Docker), or not this user's. Node makes those non-blocking when it makes its stream for them.
    return process.stdout.fd;
  }
}

/**
 * Lines on their way out, as bytes: texts that are joined cost as much again when they are taken apart. Written at once and
 * in order; what cannot be written waits, oldest first, since it may begin in the middle of a line.
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
  /** Why the last write failed, and why lines began to be lost: a reader that only has to catch up comes after it. */
  #cause = '';
  #lostCause = '';

  constructor(tellLost: TellLost) {
    this.#tellLost = tellLost;
    this.#descriptor = nonBlocking();
  }

  /** Lines lost since the start. */
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

  /** Writes what is gathered, as far as that is possible now. pino calls it after a fatal line. */
  flushSync(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pass();
    this.#retry();
    if (this.#waiting.length === 0) return;
    const pause = this.#cause === 'EAGAIN' ? shortDelay : delay;
    this.#timer = setTimeout(() => this.flushSync(), pause).unref();
  }

  /** At the end of the process: a reader that is slow gets a moment, since there is no later. */
  end(): void {
    const end = performance.now() + lastWait;
    const clock = new Int32Array(new SharedArrayBuffer(4));
    this.flushSync();
    while (this.#waiting.length > 0 && this.#cause === 'EAGAIN' && performance.now() < end) {
      Atomics.wait(clock, 0, 0, 10);
      this.flushSync();
    }
  }

  /** Hands on what is gathered. */
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

  /** As a copy, behind what came before: a view of a few bytes would hold the whole buffer that they were gathered in. */
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

  /** What could not be written of the bytes. */
  #attempt(bytes: Buffer): Buffer {
    let done = 0;
    try {
      // A write of nothing would be one without an end.
      for (let more = -1; more !== 0 && done < bytes.length; done += more)
        more = writeSync(this.#descriptor, bytes, done);
    } catch (error) {
      this.#cause = (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
    return done === 0 ? bytes : bytes.subarray(done);
  }
}
