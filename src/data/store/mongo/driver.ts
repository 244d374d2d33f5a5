/**
 * A workaround for the driver (7.8.0, also 7.9.0): a command whose connection is closed while it is being written waits
 * forever for the socket's `drain`, since a socket destroyed without an error emits nothing else. When a server closes
 * all its connections at once, this hits the driver's own check of the server one time in four, and the process never
 * finds the server again.
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

/** Makes closed connections notify whatever waits for them. */
export function mendDriver(): void {
  if (mended) return;
  mended = true;
  const load = createRequire(import.meta.url);
  const { prototype } = (load('mongodb/lib/cmap/connection.js') as { Connection: ConnectionClass })
    .Connection;
  const { cleanup } = prototype;
  prototype.cleanup = function (error) {
    cleanup.call(this, error);
    // Deferred: the command may be about to be written.
    setImmediate(() => {
      const { socket } = this;
      // A waiter in `events.once` listens to both; an error without a listener would end the process.
      if (socket.listenerCount('drain') > 0 && socket.listenerCount('error') > 0)
        socket.emit('error', this.error ?? error);
    });
  };
}
