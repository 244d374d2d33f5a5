/**
 * A region of real machines on this host: QEMU processes that outlive this one, with a folder each. See
 * docs/region-local.md.
 */
import { mkdir, readdir, realpath } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import PQueue from 'p-queue';
import type { Flavor } from '../../model/flavor.js';
import type { Image } from '../../model/image.js';
import type { RegionFeatures } from '../../model/region.js';
import type { ConsoleOutput, ConsolePart } from '../../model/console.js';
import {
  RegionError,
  type Admission,
  type MadeImage,
  type RebootOptions,
  type RegionImages,
  type ResizeRequest,
  type RegionPrincipal,
  type RegionProvider,
  type ServerEvent,
  type ServerObservation,
  type ServerRequest,
  type SnapshotRequest,
} from '../provider.js';
import { chooseAccelerator } from './accelerator.js';
import { Catalog } from './catalog.js';
import type { Accelerator } from './command-line.js';
import { readable, reasonOf } from './file-fault.js';
import { uuid } from './files.js';
import { ImageStore } from './image-store.js';
import { Machine, type MachineHost } from './machine.js';
import type { LocalRegionOptions } from './options.js';
import { takeFolder } from './owner.js';
import { namedGuests } from './process-identity.js';
import { sweepDeleted } from './server-folder.js';
import { identityOf } from './region-identity.js';
import { absent } from './server-state.js';
import { StartQueue } from './start-queue.js';
import { orAbort } from '../../platform/time.js';
import { findTools } from './tools.js';
import { makeUploaded } from './uploaded-image.js';
import { Uploads } from './uploads.js';

export type { LocalFlavor, LocalRegionOptions } from './options.js';

/** Machines adopted concurrently. */
const adoptionWidth = 16;

interface Opened {
  identity: string;
  accelerator: Accelerator;
  host: MachineHost;
  giveBack: () => Promise<void>;
  timer: NodeJS.Timeout;
}

export class LocalRegion implements RegionProvider {
  readonly type = 'local';
  readonly images: RegionImages = {
    remove: async (id, signal) => {
      await this.#uploads.remove(id);
      await this.#removeImage(id, signal);
    },
    received: (id) => this.#uploads.received(id),
    receive: (id, place, content, signal) => this.#uploads.receive(id, place, content, signal),
    make: (request, signal) => {
      const { host } = this.#mustBeOpen();
      const shop = { images: this.#store, uploads: this.#uploads, qemuImg: host.tools.qemuImg };
      return makeUploaded(shop, request, signal);
    },
  };
  readonly #options: LocalRegionOptions;
  readonly #catalog: Catalog;
  readonly #store: ImageStore;
  readonly #uploads: Uploads;
  readonly #machines = new Map<string, Machine>();
  readonly #listeners = new Set<(event: ServerEvent) => void>();
  #opening: Promise<void> | undefined;
  #clearing: Promise<void> | undefined;
  #opened: Opened | undefined;

  constructor(options: LocalRegionOptions) {
    this.#options = options;
    const stored = join(options.dataDir, 'images');
    this.#uploads = new Uploads(join(options.dataDir, 'uploads'));
    this.#catalog = new Catalog({ ...options, stored });
    this.#store = new ImageStore(stored, this.#catalog, options.log);
  }

  get features(): RegionFeatures {
    const features: RegionFeatures = { physicalNetworks: false, consoleOutput: true, softReboot: true };
    if (this.#opened !== undefined) features.accelerator = this.#opened.accelerator;
    return features;
  }

  get identity(): string | undefined {
    return this.#opened?.identity;
  }

  /**
   * Checks the programs, chooses the accelerator and adopts running machines. Rejects with a terminal RegionError that
   * says what to install or change.
   */
  open(admit?: Admission): Promise<void> {
    this.#opening ??= this.#open(admit).catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    const opened = this.#opened;
    if (opened === undefined) return;
    clearInterval(opened.timer);
    this.#opened = undefined;
    this.#opening = undefined;
    this.#listeners.clear();
    await Promise.all([...this.#machines.values()].map((machine) => machine.close()));
    this.#machines.clear();
    await this.#clearing;
    await opened.giveBack();
  }

  async listFlavors(_principal: RegionPrincipal, signal: AbortSignal): Promise<Flavor[]> {
    signal.throwIfAborted();
    return Promise.resolve(this.#catalog.flavors());
  }

  async listImages(_principal: RegionPrincipal, signal: AbortSignal): Promise<Image[]> {
    signal.throwIfAborted();
    return orAbort(this.#catalog.images(), signal);
  }

  ensureServer(request: ServerRequest, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(request.id, signal, (machine) => machine.ensure(request, signal));
  }

  deleteServer(id: string, signal: AbortSignal): Promise<void> {
    return this.#act(id, signal, (machine) => machine.remove(signal));
  }

  startServer(id: string, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(id, signal, (machine) => machine.start(signal));
  }

  stopServer(id: string, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(id, signal, (machine) => machine.stop(signal));
  }

  rebootServer(id: string, options: RebootOptions, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(id, signal, (machine) => machine.reboot(options, signal));
  }

  snapshotServer(id: string, request: SnapshotRequest, signal: AbortSignal): Promise<MadeImage> {
    return this.#act(
      id,
      signal,
      async (machine) => (await this.#store.find(request.imageId)) ?? machine.snapshot(request, signal),
    );
  }

  resizeServer(id: string, request: ResizeRequest, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(id, signal, (machine) => machine.resize(request, signal));
  }

  async describeServers(ids: string[] | undefined, signal: AbortSignal): Promise<ServerObservation[]> {
    signal.throwIfAborted();
    this.#mustBeOpen();
    await orAbort(this.#recall(ids ?? [...this.#machines.keys()]), signal);
    return (ids ?? [...this.#machines.keys()]).flatMap((id) => this.#machines.get(id)?.observation ?? []);
  }

  async consoleOutput(id: string, part: ConsolePart, signal: AbortSignal): Promise<ConsoleOutput> {
    signal.throwIfAborted();
    this.#mustBeOpen();
    const machine = this.#machines.get(id);
    if (machine === undefined) throw absent();
    const output = await readable('The console', machine.readConsole(part));
    signal.throwIfAborted();
    return output;
  }

  watch(listener: (event: ServerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #removeImage(imageId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#mustBeOpen();
    const isUsed = (): boolean => {
      const machines = [...this.#machines.values()];
      if (machines.some((machine) => machine.isUnknown))
        throw new RegionError('transient', 'The state of a server is unknown; it may need the image.');
      return machines.some((machine) => machine.imageId === imageId);
    };
    await this.#recall([...this.#machines.keys()]);
    await orAbort(this.#store.remove(imageId, isUsed), signal);
  }

  async #open(admit?: Admission): Promise<void> {
    const options = this.#options;
    const servers = join(options.dataDir, 'servers');
    await mkdir(servers, { recursive: true, mode: 0o700 });
    const giveBack = await takeFolder(options.dataDir, (options.handover ?? 15) * 1000);
    try {
      const identity = await identityOf(options.dataDir);
      await admit?.(identity);
      const tools = await findTools(options);
      const images = await this.#catalog.all();
      const { qemu, qemuVersion } = tools;
      const accelerator = await chooseAccelerator({
        wanted: options.accelerator,
        qemu,
        qemuVersion,
        image: images.findLast(({ files }) => files.linux !== undefined),
        dataDir: options.dataDir,
        log: options.log,
      });
      const width = options.startWidth > 0 ? options.startWidth : availableParallelism();
      const host: MachineHost = {
        servers: await realpath(servers),
        catalog: this.#catalog,
        images: this.#store,
        tools,
        helpers: new PQueue({ concurrency: width }),
        accelerator,
        tbSize: options.tbSize,
        stopDeadline: options.stopDeadline * 1000,
        startSlot: options.startSlot * 1000,
        consoleLimit: options.consoleLimit,
        starts: new StartQueue(width),
        log: options.log,
        changed: (id, observation) => {
          for (const listener of this.#listeners) listener({ id, observation });
        },
      };
      await sweepDeleted(host.servers, options.log);
      const unfinished = await this.#store.open();
      await this.#adoptAll(host);
      if (unfinished.length > 0) this.#clearing = this.#clearImages(unfinished);
      const timer = setInterval(() => void this.#keepHouse(), (options.housekeeping ?? 30) * 1000);
      timer.unref();
      this.#opened = { identity, accelerator, host, giveBack, timer };
      options.log.info(
        { qemuVersion, servers: this.#machines.size, images: images.length },
        'local region open',
      );
    } catch (error) {
      await Promise.all([...this.#machines.values()].map((machine) => machine.close()));
      this.#machines.clear();
      await giveBack();
      throw error;
    }
  }

  async #adoptAll(host: MachineHost): Promise<void> {
    const queue = new PQueue({ concurrency: adoptionWidth });
    const entries = await readable('The folder of the servers', readdir(host.servers));
    const ids = entries.filter((name) => uuid.test(name));
    const named = namedGuests();
    await queue.addAll(
      ids.map((id) => async () => {
        const machine = new Machine(id, host);
        this.#machines.set(id, machine);
        if (!(await machine.adopt(named.get(id) ?? []))) this.#machines.delete(id);
      }),
    );
  }

  /** A machine may still be writing to the image of a snapshot that an earlier process began. */
  async #clearImages(unfinished: string[]): Promise<void> {
    await Promise.all([...this.#machines.values()].map((machine) => machine.endSnapshot()));
    for (const id of unfinished) await this.#store.discard(id);
  }

  /** Reads these again where they could not be read. */
  async #recall(ids: readonly string[]): Promise<void> {
    const machines = ids.flatMap((id) => this.#machines.get(id) ?? []);
    await Promise.all(machines.filter((machine) => machine.isUnknown).map((machine) => machine.recall()));
    for (const machine of machines) this.#dropAbsent(machine);
  }

  #dropAbsent(machine: Machine): void {
    if (machine.observation === undefined && !machine.isBusy) this.#machines.delete(machine.id);
  }

  /** A verb on one server. Unexpected errors are retryable. */
  async #act<T>(id: string, signal: AbortSignal, work: (machine: Machine) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const { host } = this.#mustBeOpen();
    // The id becomes a folder name.
    if (!uuid.test(id)) throw new RegionError('terminal', 'The id of the server is not a UUID.');
    const machine = this.#machines.get(id) ?? new Machine(id, host);
    this.#machines.set(id, machine);
    try {
      return await work(machine);
    } catch (error) {
      if (error instanceof RegionError || (signal.aborted && error === signal.reason)) throw error;
      host.log.error({ err: error, instanceId: id }, 'local region: unexpected failure');
      const reason = reasonOf(error);
      const message = `The operation failed in the region${reason === undefined ? '' : `: ${reason}`}.`;
      throw new RegionError('transient', message, { cause: error });
    } finally {
      this.#dropAbsent(machine);
    }
  }

  async #keepHouse(): Promise<void> {
    for (const machine of this.#machines.values()) {
      await machine.keepHouse().catch((error: unknown) => {
        this.#options.log.warn(
          { err: error, instanceId: machine.id },
          'cannot limit the size of the files of a server',
        );
      });
    }
  }

  #mustBeOpen(): Opened {
    if (this.#opened === undefined) throw new RegionError('transient', 'The local region is not open.');
    return this.#opened;
  }
}
