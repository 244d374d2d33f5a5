/** The HTTP server under koa: its limits against slow and broken clients, and its orderly end. */
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
import { answerClientError, answerConnect } from '../route/pipeline/client-error.js';
import type { RequestListeners } from '../route/pipeline/access-log.js';

const seconds = 1000;

/** Milliseconds between two looks for connections that are too slow. */
const checkInterval = 1000;

export class HttpServer {
  readonly #server: Server;
  readonly #config: Config['server'];
  #draining = false;
  #running = 0;
  /** What has no answer yet, by connection, in the order in which it came. */
  readonly #exchanges = new WeakMap<Duplex, { request: IncomingMessage; response: ServerResponse }[]>();
  readonly #connections: Connections;
  /** Connections that end with a refusal: whatever else comes on them is dropped. */
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
        connectionsCheckingInterval: checkInterval,
        headersTimeout: config.headersTimeout * seconds,
        requestTimeout: Math.max(config.requestTimeout, config.headersTimeout) * seconds,
        keepAliveTimeout: config.keepAliveTimeout * seconds,
        maxHeaderSize: config.headerLimit,
        // The parser checks Content-Length and Transfer-Encoding strictly, whatever the process was started with.
        insecureHTTPParser: false,
        // Node would refuse a request without Host by itself, without a body; the pipeline does it in its own shape.
        requireHostHeader: false,
      },
      serve,
    );
    // Beyond a number of headers Node would drop them silently; their size is what limits them.
    this.#server.maxHeadersCount = 0;
    this.#server.maxConnections = config.maxConnections;
    this.#server.on('connection', (socket) => {
      this.#connections.add(socket);
      socket.on('close', () => setImmediate(() => this.#abandon(socket)));
    });
    this.#server.on('clientError', (error, socket) => {
      this.#refuse(socket, (begun) => answerClientError(error, socket, begun, listeners));
    });
    this.#server.on('connect', (request, socket) => {
      // Node has taken its own listener away: without one, a reset would end the process.
      socket.on('error', () => undefined);
      // Nor does it read any more, so that it would not see the client's end.
      socket.resume();
      this.#refuse(socket, () => answerConnect(request, socket, listeners));
    });
    // The pipeline refuses what it cannot meet; without a listener Node would answer without a body.
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

  /** Of the answers to pipelined requests Node closes only that whose turn it was; the others would never end. */
  #abandon(socket: Duplex): void {
    for (const { response } of [...(this.#exchanges.get(socket) ?? [])]) response.emit('close');
  }

  /**
   * Refuses, once, when the requests before on the connection have their answers: a refusal must not get ahead of them.
   * The request that has not arrived whole is the refused one itself; if its answer has begun, there is nothing to add.
   */
  #refuse(socket: Duplex, act: (begun: ServerResponse | undefined) => void): void {
    if (this.#refused.has(socket)) return;
    this.#refused.add(socket);
    const look = () => {
      const open = this.#exchanges.get(socket) ?? [];
      const broken = open.find(({ request }) => !request.complete);
      if (open.some((exchange) => exchange !== broken)) return;
      socket.off('answered', look);
      if (broken?.response.headersSent === true) socket.destroy();
      else act(broken?.response);
    };
    socket.on('answered', look);
    look();
  }

  /** Resolves with the URL. Rejects when the address is taken or not ours. */
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

  /** From the beginning of the shutdown: answers ask for the end of their connections. */
  draining(): boolean {
    return this.#draining;
  }

  /**
   * Ends in order: for the configured delay requests are served while /ready says 503; then no connection is taken any
   * more, running requests get their time to end, and what is left is cut.
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
