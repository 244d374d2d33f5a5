/** The open connections of a server, and the end of those that Node would keep for ever. */
import type { Socket } from 'node:net';

/** Milliseconds between two looks for clients that do not read. */
const interval = 1000;

/** A part of an answer that may take the whole time-out; a larger one may take longer. */
const part = 2 ** 20;

interface Stall {
  /** Bytes that had left when the client was last seen to read. */
  sent: number;
  since: number;
}

export class Connections {
  /** Milliseconds that a client may take for a part of its answer. */
  readonly #patience: number;
  readonly #open = new Set<Socket>();
  #stalled = new Map<Socket, Stall>();
  #timer: NodeJS.Timeout | undefined;

  constructor(patience: number) {
    this.#patience = patience;
  }

  /** Looks after the connection until it is closed. */
  add(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
    this.#timer ??= setInterval(() => this.#look(), Math.min(interval, this.#patience)).unref();
  }

  /** Cuts all of them, also those that Node has handed over with a CONNECT. */
  cut(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const socket of this.#open) socket.destroy();
  }

  /**
   * Cuts who takes nothing of what waits for him. Timers of Node's would cost each request, and count a stream that has
   * nothing to say as idle; a connection is looked at here only while it has unsent bytes.
   */
  #look(): void {
    const now = performance.now();
    const stalled = new Map<Socket, Stall>();
    for (const socket of this.#open) {
      const unsent = socket.writableLength;
      if (unsent === 0) continue;
      const sent = socket.bytesWritten - unsent;
      const known = this.#stalled.get(socket);
      const stall = known?.sent === sent ? known : { sent, since: now };
      // What is handed to the system in one piece counts as sent only when all of it has gone.
      if (now - stall.since > this.#patience * Math.max(1, Math.ceil(unsent / part))) socket.destroy();
      else stalled.set(socket, stall);
    }
    this.#stalled = stalled;
  }
}
