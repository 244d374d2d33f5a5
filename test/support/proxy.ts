/** A TCP proxy that can stop forwarding without closing anything, as a network that swallows packets does. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class HangingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #hanging = false;

  constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('data', (chunk) => {
          // What comes while the network is gone never arrives.
          if (!this.#hanging) other.write(chunk);
        });
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  hang(): void {
    this.#hanging = true;
  }

  /** Forwards again; connections that lost something are of no use any more, as after a real outage. */
  recover(): void {
    this.#hanging = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
