/** A receiver of webhooks: records what arrives, and answers as told. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  event: { type: string; timestamp: string; data: Record<string, unknown> };
}

export interface ReceiverAnswer {
  status: number;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Never answers. */
  silent?: boolean;
}

export class Receiver {
  readonly received: Received[] = [];
  answer: (received: Received) => ReceiverAnswer = () => ({ status: 204 });
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        const { url = '', headers } = request;
        const one = { path: url, headers, body, event: JSON.parse(body) as Received['event'] };
        receiver.received.push(one);
        const { status, headers: fields = {}, body: text, silent = false } = receiver.answer(one);
        if (!silent) response.writeHead(status, fields).end(text);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** Those of a type whose signature the library accepts. */
  verified(secret: string, type?: string): Received[] {
    const webhook = new Webhook(secret);
    return this.received.filter(({ headers, body, event }) => {
      webhook.verify(body, headers as Record<string, string>);
      return type === undefined || event.type === type;
    });
  }

  ids(): string[] {
    return this.received.map(({ headers }) => String(headers['webhook-id']));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Options of a server that may reach a receiver in the test. */
export const webhookFlags = {
  webhooks: { allowAddresses: ['127.0.0.0/8'], allowHttp: true, timeout: 1, retries: [0.05, 0.05] },
};
