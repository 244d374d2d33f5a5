/** A region driven by another process, as far as an API process needs it: reads, sent to that worker. */
import { LRUCache } from 'lru-cache';
import type { Flavor } from '../../model/flavor.js';
import type { Image } from '../../model/image.js';
import type { RegionFeatures, RegionType } from '../../model/region.js';
import type { ConsoleOutput, ConsolePart } from '../../model/console.js';
import {
  RegionError,
  type RegionPrincipal,
  type RegionProvider,
  type ServerObservation,
  type MadeImage,
} from '../provider.js';
import { type Call, errorKinds, type Failure, pathOf } from './protocol.js';

/** The timeout for a worker's response, and the same if there is a cached one to fall back to. */
const timeoutMs = 10_000;
const shortTimeoutMs = 2000;

/** Maximum number of cached catalogs per region: one per principal and call. */
const catalogLimit = 1000;

export interface RemoteOptions {
  regionId: string;
  type: RegionType;
  features: RegionFeatures;
  /** Base URL of the worker's server. */
  address: string;
  /** The secret that workers and API processes of one site share. */
  secret: Buffer;
  /** Milliseconds for which a catalog is cached. Default: 5,000. */
  fresh?: number;
  /** The catalog of the region as last stored in the site; used while the worker is away. */
  kept?: () => Promise<{ flavors: Flavor[]; images: Image[] } | undefined>;
  /** W3C trace context of its calls. */
  traceparent?: string;
}

/** What is known about the worker, shared by all callers. */
interface Known {
  catalogs: LRUCache<string, { time: number; value: unknown }>;
  /** Whether the last call got a response. */
  answers: boolean | undefined;
  /** When a catalog was last requested in vain (ms since 1970). */
  missed: number;
}

type CatalogCall = 'listFlavors' | 'listImages';

export class RemoteRegion implements RegionProvider {
  readonly type: RegionType;
  readonly features: RegionFeatures;
  readonly address: string;
  readonly #options: RemoteOptions;
  readonly #fresh: number;
  readonly #known: Known;

  constructor(options: RemoteOptions, known?: Known) {
    this.type = options.type;
    this.features = options.features;
    this.address = options.address;
    this.#options = options;
    this.#fresh = options.fresh ?? 5000;
    this.#known = known ?? { catalogs: new LRUCache({ max: catalogLimit }), answers: undefined, missed: 0 };
  }

  get answers(): boolean | undefined {
    return this.#known.answers;
  }

  /** The same region, at another address from now on. */
  moved(options: RemoteOptions): RemoteRegion {
    return new RemoteRegion(options, { ...this.#known, answers: undefined, missed: 0 });
  }

  /** Requests no servers: only checks whether the worker responds. */
  async isThere(signal = AbortSignal.timeout(timeoutMs)): Promise<boolean> {
    return this.describeServers([], signal).then(
      () => true,
      () => false,
    );
  }

  /** Cached catalogs are shared. */
  traced(traceparent: string): RemoteRegion {
    return new RemoteRegion({ ...this.#options, traceparent }, this.#known);
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

  consoleOutput(instanceId: string, part: ConsolePart, signal: AbortSignal): Promise<ConsoleOutput> {
    return this.#ask('consoleOutput', [instanceId, part], signal);
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

  snapshotServer(): Promise<MadeImage> {
    return Promise.reject(notHere());
  }

  resizeServer(): Promise<ServerObservation> {
    return Promise.reject(notHere());
  }

  watch(): () => void {
    return () => undefined;
  }

  /** Catalogs change rarely, and every create reads them: while the worker is away, its last response is used. */
  async #catalog<R>(call: CatalogCall, principal: RegionPrincipal, signal: AbortSignal): Promise<R> {
    const { catalogs } = this.#known;
    const key = `${call} ${JSON.stringify(principal)}`;
    const known = catalogs.get(key);
    if (known !== undefined && Date.now() - known.time < this.#fresh) return known.value as R;
    const missed = Date.now() - this.#known.missed < this.#fresh;
    const standIn = known?.value ?? (missed ? await this.#keptOf(call) : undefined);
    // Calls do not wait again for a worker that has just not responded.
    if (missed && standIn !== undefined) return standIn as R;
    try {
      const value = await this.#ask<R>(
        call,
        [principal],
        signal,
        known === undefined ? timeoutMs : shortTimeoutMs,
      );
      catalogs.set(key, { time: Date.now(), value });
      this.#known.missed = 0;
      return value;
    } catch (error) {
      if (!(error instanceof RegionError && error.kind === 'transient')) throw error;
      this.#known.missed = Date.now();
      const kept = known?.value ?? (await this.#keptOf(call));
      if (kept === undefined) throw error;
      return kept as R;
    }
  }

  async #keptOf(call: CatalogCall): Promise<unknown> {
    const kept = await this.#options.kept?.();
    return call === 'listFlavors' ? kept?.flavors : kept?.images;
  }

  async #ask<R>(call: Call, args: readonly unknown[], signal: AbortSignal, withinMs = timeoutMs): Promise<R> {
    try {
      const answer = await this.#fetch<R>(call, args, signal, withinMs);
      this.#known.answers = true;
      return answer;
    } catch (error) {
      // A refusal is a response; an aborted call shows nothing.
      if (!signal.aborted) this.#known.answers = error instanceof RegionError && error.kind !== 'transient';
      throw error;
    }
  }

  async #fetch<R>(call: Call, args: readonly unknown[], signal: AbortSignal, withinMs: number): Promise<R> {
    const { regionId, secret, traceparent } = this.#options;
    if (this.address === '') throw new RegionError('transient', 'no worker has registered for it yet.');
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
        signal: AbortSignal.any([signal, AbortSignal.timeout(withinMs)]),
        redirect: 'error',
      });
      text = await response.text();
    } catch (cause) {
      signal.throwIfAborted();
      throw new RegionError('transient', 'The worker of the region does not respond.', { cause });
    }
    if (response.ok) return JSON.parse(text) as R;
    throw failureOf(response.status, text);
  }
}

function notHere(): RegionError {
  return new RegionError('unsupported', 'Another process drives this region.');
}

function failureOf(status: number, text: string): RegionError {
  const cause = new Error(`the worker responded with ${status}: ${text.slice(0, 500)}`);
  try {
    const { kind, message } = JSON.parse(text) as Failure;
    if (errorKinds.includes(kind)) return new RegionError(kind, message, { cause });
  } catch {
    // Not a worker's response: something is between the two.
  }
  return new RegionError('transient', 'The worker of the region does not respond.', { cause });
}
