/** A client of QEMU's machine protocol on a unix socket. */
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { errorCode } from './files.js';
import { isObject, parseQmp, type QmpMessage } from './qmp-message.js';

/** Maximum line length. QEMU's responses to the commands used here are below 64 KiB. */
const lineLimit = 1 << 20;

export class QmpError extends Error {
  override readonly name = 'QmpError';
  /** QEMU is connected but silent. */
  readonly timedOut: boolean;

  constructor(message: string, timedOut = false) {
    super(message);
    this.timedOut = timedOut;
  }
}

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export type QmpEventListener = (name: string, data: Record<string, unknown>) => void;

export class Qmp {
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #onEvent: QmpEventListener;
  readonly #waiting = new Map<number, Waiting>();
  #text = '';
  #next = 1;
  #greeted: (() => void) | undefined;

  private constructor(socket: Socket, onEvent: QmpEventListener) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#end();
        resolve();
      });
    });
    // A 'close' always follows, and is handled.
    socket.on('error', () => undefined);
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.#read(chunk);
    });
    socket.unref();
  }

  /**
   * Connects to the socket `name` in `folder`. A monitor serves one client: a second connection succeeds, but gets no
   * greeting. Rejects with QmpError after `timeout` ms without one.
   */
  static async connect(
    folder: string,
    name: string,
    timeout: number,
    onEvent: QmpEventListener,
  ): Promise<Qmp> {
    const fd = openFolder(folder);
    let qmp: Qmp;
    try {
      const socket = connectIn(fd, name);
      qmp = new Qmp(socket, onEvent);
      const greeting = new Promise<void>((resolve) => (qmp.#greeted = resolve));
      await qmp.#inTime(greeting, timeout);
    } finally {
      closeSync(fd);
    }
    await qmp.command('qmp_capabilities', undefined, timeout);
    return qmp;
  }

  /** Rejects with QmpError: refused by QEMU, no response within `timeout` ms, or the connection closed. */
  command(name: string, data?: object, timeout = 10_000): Promise<unknown> {
    if (this.#socket.destroyed) return Promise.reject(new QmpError('The monitor is closed.'));
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new QmpError(`The monitor did not answer ${name} in ${timeout} ms.`, true));
      }, timeout);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ execute: name, arguments: data, id })}\n`);
    });
  }

  /** `status` of query-status: running, prelaunch, paused, guest-panicked ... */
  async status(timeout?: number): Promise<string> {
    const answer = await this.command('query-status', undefined, timeout);
    return isObject(answer) ? String(answer['status']) : 'unknown';
  }

  /** The name given with -name guest=. */
  async guestName(): Promise<string | undefined> {
    const answer = await this.command('query-name');
    return isObject(answer) && typeof answer['name'] === 'string' ? answer['name'] : undefined;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #inTime(promise: Promise<void>, timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new QmpError('The monitor sends no greeting: it is busy or hangs.', true));
      }, timeout);
    });
    const lost = this.closed.then(() => Promise.reject(new QmpError('The monitor closed the connection.')));
    lost.catch(() => undefined);
    try {
      await Promise.race([promise, late, lost]);
    } catch (error) {
      this.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #read(chunk: string): void {
    this.#text += chunk;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end).trim();
      this.#text = this.#text.slice(end + 1);
      if (line !== '') this.#take(parseQmp(line));
    }
    if (this.#text.length > lineLimit) this.close();
  }

  #take(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.#greeted?.();
        return;
      case 'event':
        this.#onEvent(message.name, message.data);
        return;
      case 'return':
        this.#answer(message.id)?.resolve(message.value);
        return;
      case 'error':
        this.#answer(message.id)?.reject(new QmpError(`${message.className}: ${message.description}`));
        return;
      case 'unknown':
        return;
    }
  }

  #answer(id: unknown): Waiting | undefined {
    if (typeof id !== 'number') return undefined;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  #end(): void {
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(new QmpError('The monitor closed the connection.'));
    }
    this.#waiting.clear();
  }
}

/** A socket path is limited to 107 bytes; the path through an open folder is always short. */
function openFolder(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

function connectIn(fd: number, name: string): Socket {
  return connect(`/proc/self/fd/${fd}/${name}`);
}

/** Errors that mean that nothing is listening, not just that it is unknown. */
const nobody = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ECONNREFUSED'];

/**
 * Whether a process listens on the socket `name` in `folder`. Rejects with the system's error if that cannot be
 * determined.
 */
export async function isListenedTo(folder: string, name: string): Promise<boolean> {
  try {
    const fd = openFolder(folder);
    try {
      const socket = connectIn(fd, name);
      await once(socket, 'connect').finally(() => socket.destroy());
    } finally {
      closeSync(fd);
    }
    return true;
  } catch (error) {
    const code = errorCode(error);
    // Its queue is full.
    if (code === 'EAGAIN') return true;
    if (nobody.includes(code ?? '')) return false;
    throw error;
  }
}
