/** Requests one after the other on one connection, which fetch does not guarantee. */
import { Agent } from 'node:http';
import { wire, type WireRequest } from './fuzz-http.js';

export interface KeptReply {
  status: number;
  /** Whether the server announced that it closes the connection after this response. */
  closes: boolean;
}

export interface KeptRequest extends Pick<WireRequest, 'body'> {
  method: 'GET' | 'POST';
  path: string;
  headers?: Record<string, string>;
}

export class KeptConnection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async send({ path, ...request }: KeptRequest): Promise<KeptReply> {
    const { status, headers } = await wire(this.#url + path, {
      ...request,
      agent: this.#agent,
      within: 4000,
    });
    return { status, closes: headers.connection === 'close' };
  }

  close(): void {
    this.#agent.destroy();
  }
}
