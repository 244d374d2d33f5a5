/**
 * HTTP requests to addresses that users name, which must not reach anything inside. A name is resolved once, all of its
 * addresses are checked, and the connection is made to exactly these, so that DNS cannot answer the check and the
 * connection differently. Redirects are not followed.
 */
import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import type { Agent } from 'undici';

export interface Resolved {
  address: string;
  family: number;
}

export interface PublicClientOptions {
  /** Whether a connection to this address may be made. */
  isAllowed: (address: string) => boolean;
  /** Ms from the beginning of a request to the end of its response. */
  timeout: number;
  /** How names are resolved; by default as the system does. */
  resolve?: (host: string) => Promise<Resolved[]>;
}

export interface PublicResponse {
  status: number;
  retryAfter: string | undefined;
}

/** The host leads to an address that is not allowed. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

/** Bytes of a response that are read, and dropped. */
const responseLimit = 65_536;

/** Loaded with the first request: most processes never make one, and loading it takes a tenth of their start. */
const loadUndici = () => import('./undici.js');

export class PublicClient {
  readonly #options: PublicClientOptions;
  #agent: Promise<Agent> | undefined;

  constructor(options: PublicClientOptions) {
    this.#options = options;
  }

  async #open(): Promise<Agent> {
    const { isAllowed, timeout, resolve = resolveBySystem } = this.#options;
    const { Agent, buildConnector } = await loadUndici();
    const connectTo = buildConnector({ timeout, lookup: checkedLookup(resolve, isAllowed) });
    return new Agent({
      connections: 8,
      pipelining: 1,
      headersTimeout: timeout,
      bodyTimeout: timeout,
      maxHeaderSize: 16_384,
      connect: (options, callback) => {
        const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
        // Of an address nothing is looked up.
        if (isIP(host) !== 0 && !isAllowed(host)) callback(refusal(), null);
        else connectTo(options, callback);
      },
    });
  }

  async post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
  ): Promise<PublicResponse> {
    this.#agent ??= this.#open();
    const [{ request }, dispatcher] = await Promise.all([loadUndici(), this.#agent]);
    const response = await request(url, {
      method: 'POST',
      headers,
      body,
      dispatcher,
      signal: AbortSignal.any([signal, AbortSignal.timeout(this.#options.timeout)]),
    });
    // The status is the answer; what follows only keeps the connection usable.
    await response.body.dump({ limit: responseLimit }).catch(() => undefined);
    const retryAfter = response.headers['retry-after'];
    return {
      status: response.statusCode,
      retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
    };
  }

  async close(): Promise<void> {
    await (await this.#agent)?.destroy();
  }
}

const refusal = () => new AddressRefused('The host leads to an address that is not public.');

async function resolveBySystem(host: string): Promise<Resolved[]> {
  return systemLookup(host, { all: true, verbatim: true });
}

function checkedLookup(
  resolve: (host: string) => Promise<Resolved[]>,
  isAllowed: (address: string) => boolean,
): LookupFunction {
  return (host, options, callback) => {
    const find = async () => {
      const found = await resolve(host);
      const [first] = found;
      if (first === undefined || !found.every(({ address }) => isAllowed(address))) throw refusal();
      return { found, first };
    };
    find().then(
      ({ found, first }) => {
        if (options.all === true) callback(null, found);
        else callback(null, first.address, first.family);
      },
      (error: unknown) => callback(error as NodeJS.ErrnoException, '', 0),
    );
  };
}
