/** The worker's side: answers the reads of API processes about the regions that this process drives. */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../model/log.js';
import type { Tracer } from '../../model/trace.js';
import type { RegionPrincipal, RegionProvider } from '../provider.js';
import { RegionError } from '../provider.js';
import { type Call, calls, type Failure, refusals } from './protocol.js';

/** Bytes that a call's arguments have at most: some thousand ids. */
const bodyLimit = 2 ** 18;

class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface GateOptions {
  host: string;
  /** 0 picks a free one. */
  port: number;
  secret: Buffer;
  /** By id. */
  regions: ReadonlyMap<string, RegionProvider>;
  tracer: Tracer;
  log: Log;
  /** Why the store cannot be used now; undefined while it can. */
  storeTrouble?: () => string | undefined;
}

export class RegionGate {
  readonly #options: GateOptions;
  readonly #server: Server;
  /** Of each call under way: derived from one signal that lives on, their own would stay behind in it (AbortSignal.any). */
  readonly #calls = new Set<AbortController>();
  #closing = false;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#server = createServer({ maxHeaderSize: 8192 }, (request, response) => {
      void this.#serve(request, response);
    });
  }

  /** Resolves with the URL. Rejects when the address is taken or not ours. */
  listen(): Promise<string> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        const { address, family, port: bound } = this.#server.address() as AddressInfo;
        resolve(`http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`);
      });
    });
  }

  close(): Promise<void> {
    this.#closing = true;
    for (const call of this.#calls) call.abort(stopping());
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      response.writeHead(status, { 'Content-Type': 'application/json', Connection: 'close', ...headers });
      response.end(JSON.stringify(body));
    };
    const call = new AbortController();
    this.#calls.add(call);
    response.once('close', () => {
      this.#calls.delete(call);
      if (!response.writableFinished) call.abort(new RegionError('transient', 'The API process went away.'));
    });
    if (this.#closing) call.abort(stopping());
    if (request.method === 'GET' && request.url === '/health') {
      const message = this.#options.storeTrouble?.();
      if (message === undefined) answer(200, { status: 'pass' });
      else answer(503, { status: 'fail', message }, { 'Retry-After': '2' });
      return;
    }
    try {
      answer(200, await this.#answer(request, call.signal));
    } catch (error) {
      if (error instanceof Refused) answer(error.status, failure(error.message));
      else if (error instanceof RegionError) answer(409, { kind: error.kind, message: error.message });
      else {
        this.#options.log.error({ err: error }, 'cannot answer an API process');
        answer(500, failure('The worker could not answer.'));
      }
    }
  }

  async #answer(request: IncomingMessage, signal: AbortSignal): Promise<unknown> {
    if (!this.#knows(request.headers.authorization)) throw new Refused(401, 'A credential is needed.');
    const [, regionId = '', call = ''] =
      /^\/regions\/([-0-9a-f]+)\/([A-Za-z]+)$/.exec(request.url ?? '') ?? [];
    const provider = this.#options.regions.get(regionId);
    if (request.method !== 'POST' || !(calls as readonly string[]).includes(call) || provider === undefined)
      throw new Refused(404, 'This worker does not drive that region.');
    const args = await argumentsOf(request);
    return this.#spanned(`region ${call}`, request, () => ask(provider, call as Call, args, signal));
  }

  /** The work as a part of the trace that the API process is in. */
  async #spanned<R>(name: string, { headers }: IncomingMessage, work: () => Promise<R>): Promise<R> {
    const { traceparent } = headers;
    const parent = typeof traceparent === 'string' ? traceparent : undefined;
    const span = this.#options.tracer.start(name, 'server', parent);
    try {
      const result = await work();
      span.end({ failed: false });
      return result;
    } catch (error) {
      // As with requests: a refusal is an answer.
      span.end({ failed: !(error instanceof RegionError && refusals.includes(error.kind)) });
      throw error;
    }
  }

  #knows(authorization: string | undefined): boolean {
    const expected = Buffer.from(`Bearer ${this.#options.secret.toString('base64url')}`);
    const given = Buffer.from(authorization ?? '');
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
}

function stopping(): RegionError {
  return new RegionError('transient', 'The worker is stopping.');
}

function failure(message: string): Failure {
  return { kind: 'transient', message };
}

async function argumentsOf(request: IncomingMessage): Promise<unknown[]> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bodyLimit) throw new Refused(413, 'The call has too many arguments.');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown[];
  } catch {
    throw new Refused(400, 'The arguments are no JSON.');
  }
}

function ask(provider: RegionProvider, call: Call, args: unknown[], signal: AbortSignal): Promise<unknown> {
  const [first, second] = args;
  switch (call) {
    case 'listFlavors':
      return provider.listFlavors(first as RegionPrincipal, signal);
    case 'listImages':
      return provider.listImages(first as RegionPrincipal, signal);
    case 'describeServers':
      return provider.describeServers((first as string[] | null) ?? undefined, signal);
    case 'consoleOutput':
      return provider.consoleOutput(String(first), second as { lines?: number }, signal);
  }
}
