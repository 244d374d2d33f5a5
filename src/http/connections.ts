/** The open connections of a server, and the closing of those that Node would keep forever. */
import type { Socket } from 'node:net';

/** Between two checks for clients that do not read. */
const intervalMs = 1000;

/** Part of a response that may take the whole timeout; a larger one may take longer. */
const part = 2 ** 20;

interface Stall {
  /** Bytes that had been sent when the client last read something. */
  sent: number;
  since: number;
}

export class Connections {
  /** Time within which a client must read a part of its response. */
  readonly #timeoutMs: number;
  readonly #open = new Set<Socket>();
  #stalled = new Map<Socket, Stall>();
  #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Watches the connection until it is closed. */
  add(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
    this.#timer ??= setInterval(() => this.#cutStalled(), Math.min(intervalMs, this.#timeoutMs)).unref();
  }

  /** Closes all of them, including those that Node has handed over with a CONNECT. */
  cut(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const socket of this.#open) socket.destroy();
  }

  /**
   * Disconnects clients that do not read pending data. Node's timers would add a cost to each request, and would treat
   * a stream without data as idle; here a connection is checked only while it has unsent bytes.
   */
  #cutStalled(): void {
    const now = performance.now();
    const stalled = new Map<Socket, Stall>();
    for (const socket of this.#open) {
      const unsent = socket.writableLength;
      if (unsent === 0) continue;
      const sent = socket.bytesWritten - unsent;
      const known = this.#stalled.get(socket);
      const stall = known?.sent === sent ? known : { sent, since: now };
      // Data handed to the system in one piece counts as sent only when all of it is gone.
      if (now - stall.since > this.#timeoutMs * Math.max(1, Math.ceil(unsent / part))) socket.destroy();
      else stalled.set(socket, stall);
    }
    this.#stalled = stalled;
  }
}
