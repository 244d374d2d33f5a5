/** The HTTP server under koa: its limits against slow and broken clients, and its orderly shutdown. */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.js';
import { Connections } from './connections.js';
import { isStreamed } from '../route/pipeline/content.js';
import { answerClientError, answerConnect } from '../route/pipeline/client-error.js';
import type { RequestListeners } from '../route/pipeline/access-log.js';

const seconds = 1000;

/** Between two checks for connections that are too slow. */
const checkIntervalMs = 1000;

export class HttpServer {
  readonly #server: Server;
  readonly #config: Config['server'];
  #draining = false;
  #running = 0;
  /** Requests without a response, by connection, in order of arrival. */
  readonly #exchanges = new WeakMap<Duplex, { request: IncomingMessage; response: ServerResponse }[]>();
  readonly #connections: Connections;
  /** Connections that end with a refusal: any further data on them is dropped. */
  readonly #refused = new WeakSet<Duplex>();
  #idle: (() => void) | undefined;

  constructor(handle: RequestListener, config: Config['server'], listeners: RequestListeners) {
    this.#config = config;
    this.#connections = new Connections(config.sendTimeout * seconds);
    const serve: RequestListener = (request, response) => {
      this.#begin(request, response);
      handle(request, response);
    };
    this.#server = createServer(
      {
        connectionsCheckingInterval: checkIntervalMs,
        headersTimeout: config.headersTimeout * seconds,
        requestTimeout: Math.max(config.requestTimeout, config.headersTimeout) * seconds,
        keepAliveTimeout: config.keepAliveTimeout * seconds,
        maxHeaderSize: config.headerLimit,
        // The parser checks Content-Length and Transfer-Encoding strictly, whatever the options of the process.
        insecureHTTPParser: false,
        // Node would refuse a request without Host by itself, without a body; the pipeline does it in its own format.
        requireHostHeader: false,
      },
      serve,
    );
    // Beyond a certain number of headers Node would drop them silently; here their size is the limit.
    this.#server.maxHeadersCount = 0;
    this.#server.maxConnections = config.maxConnections;
    this.#server.on('connection', (socket) => {
      this.#connections.add(socket);
      socket.on('close', () => setImmediate(() => this.#abandon(socket)));
    });
    this.#server.on('clientError', (error: Error & { code?: string }, socket) => {
      const open = this.#exchanges.get(socket) ?? [];
      // A large body may take longer than other requests, as long as it arrives.
      if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && open.some(({ request }) => isStreamed(request)))
        return;
      this.#refuse(socket, (begun) => answerClientError(error, socket, begun, listeners));
    });
    this.#server.on('connect', (request, socket) => {
      // Node has removed its own listener: without one, a reset would end the process.
      socket.on('error', () => undefined);
      // Node also stops reading, so it would not notice that the client has closed.
      socket.resume();
      this.#refuse(socket, () => answerConnect(request, socket, listeners));
    });
    // The pipeline refuses expectations that it cannot meet; without a listener Node would respond without a body.
    this.#server.on('checkExpectation', serve);
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const exchanges = this.#exchanges.get(socket) ?? [];
    const exchange = { request, response };
    this.#running += 1;
    exchanges.push(exchange);
    this.#exchanges.set(socket, exchanges);
    response.on('close', () => {
      const place = exchanges.indexOf(exchange);
      if (place === -1) return;
      this.#running -= 1;
      exchanges.splice(place, 1);
      socket.emit('answered');
      if (this.#running === 0) this.#idle?.();
    });
  }

  /** Of several pipelined responses Node closes only the current one; the others would never end. */
  #abandon(socket: Duplex): void {
    for (const { response } of [...(this.#exchanges.get(socket) ?? [])]) response.emit('close');
  }

  /**
   * Sends a refusal, once, after the earlier requests on the connection have their responses: it must not overtake
   * them. The incomplete request is the refused one itself; if its response has begun, there is nothing to add.
   */
  #refuse(socket: Duplex, act: (begun: ServerResponse | undefined) => void): void {
    if (this.#refused.has(socket)) return;
    this.#refused.add(socket);
    const actInTurn = () => {
      const open = this.#exchanges.get(socket) ?? [];
      const broken = open.find(({ request }) => !request.complete);
      if (open.some((exchange) => exchange !== broken)) return;
      socket.off('answered', actInTurn);
      if (broken?.response.headersSent === true) socket.destroy();
      else act(broken?.response);
    };
    socket.on('answered', actInTurn);
    actInTurn();
  }

  /** Resolves with the URL. Rejects if the address is in use or not local. */
  listen(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      const { host, port, backlog } = this.#config;
      this.#server.listen({ host, port, backlog }, () => {
        this.#server.off('error', reject);
        const { address, family, port } = this.#server.address() as AddressInfo;
        resolve(`http://${family === 'IPv6' ? `[${address}]` : address}:${port}`);
      });
    });
  }

  /** From the beginning of the shutdown: responses ask to close their connections. */
  draining(): boolean {
    return this.#draining;
  }

  /**
   * Orderly shutdown: during the configured delay requests are served while /ready returns 503; then no more
   * connections are accepted, running requests get their time to finish, and what is left is closed.
   */
  async close(): Promise<void> {
    this.#draining = true;
    if (this.#config.drainDelay > 0) await sleep(this.#config.drainDelay * seconds);
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.#server.closeIdleConnections();
    const limit = new AbortController();
    const idle = new Promise<void>((resolve) => {
      if (this.#running === 0) resolve();
      else this.#idle = resolve;
    });
    const late = sleep(this.#config.drainLimit * seconds, undefined, { signal: limit.signal }).catch(
      () => undefined,
    );
    await Promise.race([idle, late]);
    limit.abort();
    this.#connections.cut();
    await closed;
  }
}
