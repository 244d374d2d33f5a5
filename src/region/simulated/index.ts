/**
 * A region without machines, for tests and for scale. It behaves like a cloud: requests take effect even if the process
 * that made them dies, several processes see the same servers, and calls can fail, late or after the fact. See
 * docs/region-simulated.md.
 */
import type { Flavor } from '../../model/flavor.js';
import type { Image } from '../../model/image.js';
import type { Log } from '../../model/log.js';
import type { PowerState } from '../../model/power.js';
import type { RegionFeatures } from '../../model/region.js';
import type { ConsoleOutput, ConsolePart } from '../../model/console.js';
import {
  RegionError,
  type MadeImage,
  type RebootOptions,
  type RegionImages,
  diskShrinks,
  type ResizeRequest,
  type RegionPrincipal,
  type RegionProvider,
  type ServerEvent,
  type ServerObservation,
  type ServerRequest,
  type SnapshotRequest,
} from '../provider.js';
import { makeCatalog, type Catalog } from './catalog.js';
import { Cloud, observe, typed, type CloudServer, type HistoryEntry, type PowerStep } from './cloud.js';
import { consolePart } from './console.js';
import { CloudImages } from './images.js';
import { endure, Fates, pause, type Fate, type SimulatedRule, type SimulatedVerb } from './fate.js';

export type { CloudServer, HistoryEntry } from './cloud.js';
export type { SimulatedRule, SimulatedVerb } from './fate.js';

export interface SimulatedRegionOptions {
  regionId: string;
  /** Path of the region's own SQLite file, or ':memory:'. Its folder must exist. */
  file: string;
  /** Milliseconds that a mutation takes. */
  delay: number;
  /** Fraction of the delay, from 0 to 1, by which it varies at random in either direction. Default: 0. */
  delayJitter?: number;
  /** Fraction of mutations, from 0 to 1, that fail with `transient`. */
  failureRate: number;
  seed: number;
  log: Log;
}

const pollInterval = 250; // Ms, for changes by other processes.

interface Inner {
  cloud: Cloud;
  images: CloudImages;
  fates: Fates;
}

export class SimulatedRegion implements RegionProvider {
  readonly type = 'simulated';
  readonly images: RegionImages = {
    remove: (id, signal) => this.#removeImage(id, signal),
    received: (id) => Promise.resolve(this.#mustBeOpen().images.received(id)),
    receive: (id, place, content, signal) => this.#mustBeOpen().images.receive(id, place, content, signal),
    make: (request) => typed(() => Promise.resolve(this.#mustBeOpen().images.make(request))),
  };
  readonly features: RegionFeatures = { physicalNetworks: false, consoleOutput: true, softReboot: true };
  readonly #options: SimulatedRegionOptions;
  readonly #catalog: Catalog;
  readonly #listeners = new Set<(event: ServerEvent) => void>();
  #inner: Inner | undefined;
  #timer: NodeJS.Timeout | undefined;
  #seen = 0;

  constructor(options: SimulatedRegionOptions) {
    this.#options = options;
    this.#catalog = makeCatalog(options.regionId);
  }

  get identity(): string | undefined {
    return this.#inner?.cloud.identity;
  }

  /** Opens the file, and creates it if it is missing. A repeat does nothing. */
  open(): Promise<void> {
    if (this.#inner !== undefined) return Promise.resolve();
    try {
      const cloud = new Cloud(this.#options.file);
      const images = new CloudImages(cloud, this.#catalog);
      this.#inner = { cloud, images, fates: new Fates(cloud.database, this.#options) };
    } catch (cause) {
      return Promise.reject(
        new RegionError('terminal', 'The simulated region cannot open its file.', { cause }),
      );
    }
    const servers = this.#cloud.count();
    this.#options.log.info({ regionId: this.#options.regionId, servers }, 'simulated region open');
    return Promise.resolve();
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
    this.#inner?.cloud.close();
    this.#inner = undefined;
    return Promise.resolve();
  }

  listFlavors(_principal: RegionPrincipal, signal: AbortSignal): Promise<Flavor[]> {
    return this.#read(signal, () => this.#catalog.flavors);
  }

  listImages(_principal: RegionPrincipal, signal: AbortSignal): Promise<Image[]> {
    return this.#read(signal, () => this.#catalog.images);
  }

  async ensureServer(request: ServerRequest, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act('ensureServer', request.id, signal, async (delay) => {
      await this.#arrival(request.id, signal);
      if (this.#cloud.get(request.id) === undefined) this.#mustFit(request);
      this.#cloud.create(request, this.#cloud.now() + delay);
    });
  }

  async deleteServer(id: string, signal: AbortSignal): Promise<void> {
    await typed(async () => {
      const number = this.#cloud.get(id)?.number;
      const fate = await this.#begin('deleteServer', id, signal);
      await pause(fate.delay, signal);
      this.#cloud.remove(id, number);
      this.#poll();
      if (fate.error !== undefined) throw fate.error;
    });
  }

  async startServer(id: string, signal: AbortSignal): Promise<ServerObservation> {
    return this.#power('startServer', id, signal, {
      through: 'Building',
      to: 'Running',
      decide: (server) => server.powerState !== 'Running',
    });
  }

  async stopServer(id: string, signal: AbortSignal): Promise<ServerObservation> {
    return this.#power('stopServer', id, signal, {
      through: 'Stopping',
      to: 'Stopped',
      decide: (server) => server.powerState !== 'Stopped',
    });
  }

  async rebootServer(
    id: string,
    { request }: RebootOptions,
    signal: AbortSignal,
  ): Promise<ServerObservation> {
    return this.#power('rebootServer', id, signal, {
      ...(request === undefined ? {} : { request }),
      through: 'Building',
      to: 'Running',
      decide: (server) => {
        if (server.powerState === 'Running' || server.powerState === 'Error') return true;
        throw new RegionError('conflict', 'The server is not running, so it cannot be rebooted.');
      },
    });
  }

  async snapshotServer(id: string, request: SnapshotRequest, signal: AbortSignal): Promise<MadeImage> {
    return typed(async () => {
      const fate = await this.#begin('snapshotServer', id, signal);
      await this.#arrival(id, signal);
      const { cloud, images } = this.#mustBeOpen();
      if (!images.has(request.imageId)) {
        const server = this.#mustHave(id);
        const disk = this.#catalog.flavors.find((one) => one.metadata.id === server.flavorId)?.spec.disk;
        cloud.note(id, 'snapshotServer', images.begin({ ...server, disk }, request, fate.delay));
      }
      const image = await images.finished(request.imageId, signal);
      if (fate.error !== undefined) throw fate.error;
      return image;
    });
  }

  async resizeServer(id: string, request: ResizeRequest, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act('resizeServer', id, signal, async (delay) => {
      await this.#arrival(id, signal);
      await pause(delay, signal);
      this.#cloud.resize(id, request.flavorId, (server) => {
        if (server === undefined) throw absent();
        const { imageId, flavorId } = server;
        const wanted = this.#mustFit({ ...request, imageId });
        const offered = this.#catalog.flavors.find(({ metadata }) => metadata.id === flavorId);
        if (offered !== undefined && wanted.disk < offered.spec.disk) throw diskShrinks();
      });
    });
  }

  async describeServers(ids: string[] | undefined, signal: AbortSignal): Promise<ServerObservation[]> {
    signal.throwIfAborted();
    return typed(async () => {
      const fate = this.#fates.ofRead('describeServers', ids?.length === 1 ? (ids[0] ?? null) : null);
      await endure(fate, signal);
      if (ids === undefined) return this.#cloud.all().map(observe);
      return ids.flatMap((id) => {
        const server = this.#cloud.get(id);
        return server === undefined ? [] : [observe(server)];
      });
    });
  }

  async consoleOutput(id: string, part: ConsolePart, signal: AbortSignal): Promise<ConsoleOutput> {
    signal.throwIfAborted();
    return typed(async () => {
      await endure(this.#fates.ofRead('consoleOutput', id), signal);
      return consolePart(this.#mustHave(id), part);
    });
  }

  watch(listener: (event: ServerEvent) => void): () => void {
    if (this.#listeners.size === 0) {
      this.#seen = this.#lastChange();
      this.#timer = setInterval(() => this.#poll(), pollInterval);
      this.#timer.unref();
    }
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) clearInterval(this.#timer);
    };
  }

  /**
   * Programs the outcome of future operations, in every process that has the region open. The first matching rule
   * applies.
   */
  program(rule: SimulatedRule): void {
    this.#fates.program(rule);
  }

  clearProgram(): void {
    this.#fates.clear();
  }

  /** The mutations of one server that were carried out, oldest first; they stay after it is deleted. */
  history(id: string): HistoryEntry[] {
    return this.#cloud.history(id);
  }

  /** All existing machines, by id. */
  servers(): CloudServer[] {
    return this.#cloud.all();
  }

  /** Ids of all stored images, complete or not. */
  storedImages(): string[] {
    return this.#mustBeOpen().images.ids();
  }

  /** Changes a machine outside the API, as an outage or another operator would. */
  interfere(id: string, change: { powerState: PowerState; message?: string } | 'vanish'): void {
    if (change === 'vanish') this.#cloud.vanish(id);
    else this.#cloud.force(id, change.powerState, change.message ?? null);
    this.#announce();
  }

  /** One verb on one server that must exist: decides under the lock, then takes its delay. */
  #power(
    verb: SimulatedVerb,
    id: string,
    signal: AbortSignal,
    step: Pick<PowerStep, 'through' | 'to' | 'request'> & { decide: (server: CloudServer) => boolean },
  ): Promise<ServerObservation> {
    return this.#act(verb, id, signal, async (delay) => {
      await this.#arrival(id, signal);
      const { decide, ...move } = step;
      this.#cloud.move(id, { ...move, verb, settleAt: this.#cloud.now() + delay }, (server) => {
        if (server === undefined) throw absent();
        return decide(server);
      });
    });
  }

  async #act(
    verb: SimulatedVerb,
    id: string,
    signal: AbortSignal,
    work: (delay: number) => Promise<void>,
  ): Promise<ServerObservation> {
    return typed(async () => {
      const fate = await this.#begin(verb, id, signal);
      await work(fate.delay);
      this.#poll();
      await this.#arrival(id, signal);
      this.#poll();
      if (fate.error !== undefined) throw fate.error;
      return observe(this.#mustHave(id));
    });
  }

  /** Determines the outcome of a mutation, and throws if it fails before anything is done. */
  async #begin(verb: SimulatedVerb, id: string, signal: AbortSignal): Promise<Fate> {
    signal.throwIfAborted();
    const fate = this.#fates.ofMutation(verb, id);
    if (fate.error !== undefined && !fate.ambiguous) await endure(fate, signal);
    return fate;
  }

  async #removeImage(imageId: string, signal: AbortSignal): Promise<void> {
    await typed(async () => {
      const fate = await this.#begin('deleteImage', imageId, signal);
      await pause(fate.delay, signal);
      this.#mustBeOpen().images.remove(imageId);
      if (fate.error !== undefined) throw fate.error;
    });
  }

  /** Waits until the machine is not in transition. Aborting the wait does not stop the machine. */
  async #arrival(id: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const server = this.#cloud.get(id);
      if (server?.settleAt == null) return;
      await pause(Math.max(1, server.settleAt - this.#cloud.now()), signal);
    }
  }

  #mustFit(request: Pick<ServerRequest, 'flavorId' | 'flavor' | 'imageId'>): Flavor['spec'] {
    const offered = this.#catalog.flavors.find((one) => one.metadata.id === request.flavorId);
    const flavor = offered?.spec ?? request.flavor;
    const image = this.#mustBeOpen().images.spec(request.imageId);
    if (flavor === undefined) throw new RegionError('not_found', 'The region has no such flavor.');
    if (image === undefined) throw new RegionError('not_found', 'The region has no such image.');
    const least = image.minMemoryMiB ?? 0;
    if (flavor.memoryMiB < least) {
      throw new RegionError('terminal', `The image needs ${least} MiB of memory; the flavor has less.`);
    }
    return flavor;
  }

  #mustHave(id: string): CloudServer {
    const server = this.#cloud.get(id);
    if (server === undefined) throw absent();
    return server;
  }

  #read<T>(signal: AbortSignal, work: () => T): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return Promise.resolve(work());
  }

  /** In doubt, a change is reported once more. */
  #lastChange(): number {
    try {
      return this.#cloud.lastChange();
    } catch (error) {
      if (error instanceof RegionError) throw error;
      this.#options.log.warn({ err: error }, 'simulated region: cannot find the end of its changes');
      return 0;
    }
  }

  /** Reports changes. A failure to report one does not undo it. */
  #poll(): void {
    try {
      this.#announce();
    } catch (error) {
      // Another process may hold the file for long; the next poll will do.
      this.#options.log.warn({ err: error }, 'simulated region: cannot poll for changes');
    }
  }

  #announce(): void {
    if (this.#listeners.size === 0) return;
    this.#cloud.settle();
    for (const { seq, id } of this.#cloud.changesAfter(this.#seen)) {
      this.#seen = seq;
      const server = this.#cloud.get(id);
      const event: ServerEvent = { id, observation: server === undefined ? undefined : observe(server) };
      for (const listener of this.#listeners) listener(event);
    }
  }

  get #cloud(): Cloud {
    return this.#mustBeOpen().cloud;
  }

  get #fates(): Fates {
    return this.#mustBeOpen().fates;
  }

  #mustBeOpen(): Inner {
    if (this.#inner === undefined) throw new RegionError('transient', 'The simulated region is not open.');
    return this.#inner;
  }
}

function absent(): RegionError {
  return new RegionError('not_found', 'The region has no such server.');
}
