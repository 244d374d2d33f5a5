/**
 * A mend of the driver (7.8.0, and 7.9.0 alike): a command whose connection is closed while it is written waits for the
 * socket's `drain` for ever, since a socket that is destroyed without an error tells of nothing else that it waits for.
 * When a server ends all its connections at once, that befalls the driver's own check of the server one time in four, and
 * a process never finds the server again.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

interface Connection {
  socket: Socket;
  error: Error | null;
}

interface ConnectionClass {
  prototype: Connection & { cleanup: (this: Connection, error: Error) => void };
}

let mended = false;

/** Makes connections that are closed tell so to what waits for them. */
export function mendDriver(): void {
  if (mended) return;
  mended = true;
  const load = createRequire(import.meta.url);
  const { prototype } = (load('mongodb/lib/cmap/connection.js') as { Connection: ConnectionClass })
    .Connection;
  const { cleanup } = prototype;
  prototype.cleanup = function (error) {
    cleanup.call(this, error);
    // Not at once: the command may be about to be written.
    setImmediate(() => {
      const { socket } = this;
      // Who waits by `events.once` listens to both; an error that nobody listens to would end the process.
      if (socket.listenerCount('drain') > 0 && socket.listenerCount('error') > 0)
        socket.emit('error', this.error ?? error);
    });
  };
}
