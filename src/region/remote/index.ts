/** A region that another process drives, as far as an API process needs it: the reads, asked of that worker. */
import type { Flavor } from '../../model/flavor.js';
import type { Image } from '../../model/image.js';
import type { RegionFeatures, RegionType } from '../../model/region.js';
import type { ConsoleOutput, RegionPrincipal, RegionProvider, ServerObservation } from '../provider.js';
import { RegionError } from '../provider.js';
import { type Call, errorKinds, type Failure, pathOf } from './protocol.js';

/** Milliseconds that a worker has for an answer. */
const patience = 10_000;

/** Milliseconds for which a catalog stands in for a worker that is away. */
const stale = 24 * 60 * 60 * 1000;

export interface RemoteOptions {
  regionId: string;
  type: RegionType;
  features: RegionFeatures;
  /** Base URL of the worker's gate. */
  address: string;
  /** What workers and API processes of one site share. */
  secret: Buffer;
  /** Milliseconds for which a catalog is taken from memory. Default: 5,000. */
  fresh?: number;
  /** W3C trace context that its calls are a part of. */
  traceparent?: string;
}

type Catalogs = Map<string, { time: number; value: unknown }>;

export class RemoteRegion implements RegionProvider {
  readonly type: RegionType;
  readonly features: RegionFeatures;
  readonly address: string;
  readonly #options: RemoteOptions;
  readonly #fresh: number;
  readonly #catalogs: Catalogs;

  constructor(options: RemoteOptions, catalogs: Catalogs = new Map()) {
    this.type = options.type;
    this.features = options.features;
    this.address = options.address;
    this.#options = options;
    this.#fresh = options.fresh ?? 5000;
    this.#catalogs = catalogs;
  }

  /** What has been told of catalogs is told to all. */
  traced(traceparent: string): RemoteRegion {
    return new RemoteRegion({ ...this.#options, traceparent }, this.#catalogs);
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  listFlavors(principal: RegionPrincipal, signal: AbortSignal): Promise<Flavor[]> {
    return this.#catalog('listFlavors', principal, signal);
  }

  listImages(principal: RegionPrincipal, signal: AbortSignal): Promise<Image[]> {
    return this.#catalog('listImages', principal, signal);
  }

  describeServers(ids: string[] | undefined, signal: AbortSignal): Promise<ServerObservation[]> {
    return this.#ask('describeServers', [ids ?? null], signal);
  }

  consoleOutput(id: string, options: { lines?: number }, signal: AbortSignal): Promise<ConsoleOutput> {
    return this.#ask('consoleOutput', [id, options], signal);
  }

  ensureServer(): Promise<ServerObservation> {
    return Promise.reject(notHere());
  }

  deleteServer(): Promise<void> {
    return Promise.reject(notHere());
  }

  startServer(): Promise<ServerObservation> {
    return Promise.reject(notHere());
  }

  stopServer(): Promise<ServerObservation> {
    return Promise.reject(notHere());
  }

  rebootServer(): Promise<ServerObservation> {
    return Promise.reject(notHere());
  }

  watch(): () => void {
    return () => undefined;
  }

  /** Catalogs change seldom, and every create looks into them: while the worker is away, what it said last counts. */
  async #catalog<R>(call: Call, principal: RegionPrincipal, signal: AbortSignal): Promise<R> {
    const key = `${call} ${JSON.stringify(principal)}`;
    const known = this.#catalogs.get(key);
    if (known !== undefined && Date.now() - known.time < this.#fresh) return known.value as R;
    try {
      const value = await this.#ask<R>(call, [principal], signal);
      if (this.#catalogs.size >= 1000) this.#catalogs.clear();
      this.#catalogs.set(key, { time: Date.now(), value });
      return value;
    } catch (error) {
      const passing = error instanceof RegionError && error.kind === 'transient';
      if (passing && known !== undefined && Date.now() - known.time < stale) return known.value as R;
      throw error;
    }
  }

  async #ask<R>(call: Call, args: readonly unknown[], signal: AbortSignal): Promise<R> {
    const { regionId, secret, traceparent } = this.#options;
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.address + pathOf(regionId, call), {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${secret.toString('base64url')}`,
          'Content-Type': 'application/json',
          ...(traceparent === undefined ? {} : { traceparent }),
        },
        body: JSON.stringify(args),
        signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]),
        redirect: 'error',
      });
      text = await response.text();
    } catch (cause) {
      signal.throwIfAborted();
      throw new RegionError('transient', 'The worker of the region does not answer.', { cause });
    }
    if (response.ok) return JSON.parse(text) as R;
    throw failureOf(response.status, text);
  }
}

function notHere(): RegionError {
  return new RegionError('unsupported', 'Another process drives this region.');
}

function failureOf(status: number, text: string): RegionError {
  const cause = new Error(`the worker answered ${status}: ${text.slice(0, 500)}`);
  try {
    const { kind, message } = JSON.parse(text) as Failure;
    if (errorKinds.includes(kind)) return new RegionError(kind, message, { cause });
  } catch {
    // Not a worker's answer: something stands between the two.
  }
  return new RegionError('transient', 'The worker of the region does not answer.', { cause });
}
