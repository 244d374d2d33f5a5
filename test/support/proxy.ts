/** A TCP proxy that can stop forwarding without closing anything, like a network that drops packets. */
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
          // Data sent while the network is down never arrives.
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

  /** Forwards again; connections that lost data are unusable, as after a real outage. */
  recover(): void {
    this.#hanging = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
