/** Requests one after the other on one connection, which fetch does not promise. */
import { Agent, request } from 'node:http';

export interface KeptReply {
  status: number;
  /** Whether the server said that it closes the connection after this answer. */
  closes: boolean;
}

export interface KeptRequest {
  method: 'GET' | 'POST';
  path: string;
  headers?: Record<string, string>;
  /** Written one after the other; without a Content-Length among the headers they travel as chunks. */
  body?: readonly (string | Buffer)[];
}

export class KeptConnection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  send({ method, path, headers = {}, body = [] }: KeptRequest): Promise<KeptReply> {
    return new Promise((resolve, reject) => {
      const outgoing = request(this.#url + path, { method, headers, agent: this.#agent }, (response) => {
        response.resume();
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, closes: response.headers.connection === 'close' });
        });
      });
      outgoing.on('error', reject);
      outgoing.setTimeout(4000, () => outgoing.destroy(new Error('no answer within 4 s')));
      for (const part of body) outgoing.write(part);
      outgoing.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
