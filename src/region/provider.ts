/**
 * The port to a place that runs machines. `data` and `task` use this file and no provider.
 *
 * Contract, tested for every provider by test/contract/region: each mutation is idempotent and may be repeated after a
 * lost response; each takes an AbortSignal; deleting an absent server succeeds; failures are RegionError, so that a
 * task can distinguish "try again" from "never". A server is identified by the id of its instance: the provider stores
 * it with the machine and finds the machine by it, never by name.
 */
import type { Flavor } from '../model/flavor.js';
import type { Readable } from 'node:stream';
import type { Image } from '../model/image.js';
import type { Observation } from '../model/observation.js';
import type { RegionFeatures, RegionType } from '../model/region.js';
import type { ConsoleOutput, ConsolePart } from '../model/console.js';

/**
 * - `not_found`: no such server, flavor or image.
 * - `conflict`: not in this state.
 * - `busy`: another operation on the server is running; try again soon.
 * - `unsupported`: the provider can never do this.
 * - `transient`: may work on a retry.
 * - `terminal`: will never work, however often it is tried.
 */
export type RegionErrorKind = 'not_found' | 'conflict' | 'busy' | 'unsupported' | 'transient' | 'terminal';

export class RegionError extends Error {
  override readonly name = 'RegionError';
  readonly kind: RegionErrorKind;

  /**
   * The message is shown to users (task cause, status detail): no paths, no command lines. Details belong in `cause`.
   */
  constructor(kind: RegionErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** The flavor of a resize has a smaller disk. */
export function diskShrinks(): RegionError {
  return new RegionError('terminal', 'A disk cannot shrink: the flavor has a smaller one than the server.');
}

/** The caller: the region decides what it may see (Unikorn: impersonation). */
export interface RegionPrincipal {
  organizationId: string;
  projectIds: string[];
}

/** A desired machine. All values are validated by the caller; the provider still never puts one on a command line. */
export interface ServerRequest {
  /** Id of the instance, a UUID: the machine's identity. */
  id: string;
  /** DNS label; becomes the guest's hostname. */
  hostname: string;
  flavorId: string;
  imageId: string;
  /** The flavor as it was when chosen: it may have been removed from the catalog since. */
  flavor?: Flavor['spec'];
  /** `stopped`: the machine is only created, and waits for its first start. */
  power?: 'stopped';
  /** cloud-init input, decoded. At most 64 KiB. */
  userData?: Buffer;
  tags: { name: string; value: string }[];
}

/** The flavor that a server gets. */
export type ResizeRequest = Pick<ServerRequest, 'flavorId' | 'flavor'>;

export interface RebootOptions {
  hard: boolean;
  /** Identifies the request, so that a repeat is recognised. */
  request?: string;
}

/** A snapshot to be made of a server's disk. */
export interface SnapshotRequest {
  /** Id of the image, a UUID: the region stores it with the image, and finds the image by it. */
  imageId: string;
  name: string;
}

/** What a region found out about an image that it has made. */
export interface MadeImage {
  /** Bytes of the disk that the guest sees. */
  virtualSize: number;
  /** Bytes that it takes in the region. */
  sizeBytes: number;
  /** Of its file: `sha256:` and hexadecimal digits. */
  checksum: string;
}

/** Where content continues, and how many bytes there will be in all. */
export interface UploadPlace {
  offset: number;
  limit: number;
}

/** An image to be made of content that has arrived. */
export interface ImageRequest extends Pick<Image['spec'], 'architecture' | 'os' | 'minMemoryMiB'> {
  id: string;
  name: string;
  format: 'qcow2' | 'raw';
  sizeBytes: number;
  /** Of the content: `sha256:` and hexadecimal digits. */
  checksum: string;
}

/** The part of a region that stores images beside its catalog. `id`: that of the image. */
export interface RegionImages {
  /**
   * Removes the image, and what an interrupted attempt has left of it. Absent is success. A server was created from it
   * and still exists: `conflict`.
   */
  remove(id: string, signal: AbortSignal): Promise<void>;
  /** Bytes of content that have arrived. */
  received(id: string, signal: AbortSignal): Promise<number>;
  /**
   * Appends to the content; resolves with the number of bytes that there are then. An offset other than that number
   * before: `conflict`. What arrived before a failure or an abort is kept.
   */
  receive(id: string, place: UploadPlace, content: Readable, signal: AbortSignal): Promise<number>;
  /** Checks the content, and makes the image of it; a repeat finds the image. Content that is refused: `terminal`. */
  make(request: ImageRequest, signal: AbortSignal): Promise<MadeImage>;
}

/** What the region observes of one server. */
export interface ServerObservation extends Observation {
  id: string;
}

export interface ServerEvent {
  id: string;
  /** Undefined: the server is gone. */
  observation: ServerObservation | undefined;
}

/** Rejects if this process must not drive the region with this identity. */
export type Admission = (identity: string) => Promise<void>;

export interface RegionProvider {
  readonly type: RegionType;
  /** Known after `open`. */
  readonly features: RegionFeatures;
  /**
   * Identifies the region's own state, and moves with it: two providers with the same identity see the same machines.
   * Known after `open`, if this process has access to that state.
   */
  readonly identity?: string | undefined;
  /** Whether the region responded to the last call. Only if calls go to another process. */
  readonly answers?: boolean | undefined;

  /** Undefined: it stores no images, and makes no snapshots. */
  readonly images?: RegionImages | undefined;

  /**
   * Connects and adopts existing servers. Rejects with the reason and what to do about it. `admit` is called with the
   * region's identity before any machine is started or signalled; if it rejects, none is. A provider whose opening does
   * neither need not call it.
   */
  open(admit?: Admission): Promise<void>;
  /** Releases everything without touching a server. */
  close(): Promise<void>;

  /** Flavors and images may be shared between callers and must not be modified. */
  listFlavors(principal: RegionPrincipal, signal: AbortSignal): Promise<Flavor[]>;
  listImages(principal: RegionPrincipal, signal: AbortSignal): Promise<Image[]>;

  /**
   * Creates the server if it is absent and makes it run at least once, or leaves it off if requested. A repeat never
   * creates a second one.
   */
  ensureServer(request: ServerRequest, signal: AbortSignal): Promise<ServerObservation>;
  /** Terminates the machine and removes everything of it. Absent is success. */
  deleteServer(instanceId: string, signal: AbortSignal): Promise<void>;
  /** Already running is success. Absent: `not_found`. */
  startServer(instanceId: string, signal: AbortSignal): Promise<ServerObservation>;
  /**
   * Asks the guest, then cuts the power after the provider's deadline. Already stopped is success. Absent: `not_found`.
   */
  stopServer(instanceId: string, signal: AbortSignal): Promise<ServerObservation>;
  /**
   * Soft: asks the guest, and falls back to hard after the deadline. Not running: `conflict`. Absent: `not_found`. If
   * the same `request` is repeated in a row, a machine that came up is left alone: the first response was lost.
   */
  rebootServer(instanceId: string, options: RebootOptions, signal: AbortSignal): Promise<ServerObservation>;

  /**
   * Makes an image of the server's root disk, as it is at one moment while the call runs; the server goes on as it is. A
   * repeat with the same `imageId` never makes a second one, and an attempt that fails or is aborted leaves nothing.
   * Servers can be created from the image; it is not in `listImages`. Absent server: `not_found`. No snapshots in this
   * region: `unsupported`.
   */
  snapshotServer(instanceId: string, request: SnapshotRequest, signal: AbortSignal): Promise<MadeImage>;

  /**
   * Gives the server another flavor: its disk grows and keeps its content, and what a running guest cannot take over it
   * gets when it is next started. A repeat is success. A smaller disk: `terminal`. Absent: `not_found`.
   */
  resizeServer(instanceId: string, request: ResizeRequest, signal: AbortSignal): Promise<ServerObservation>;

  /** Observations of the given servers, or of all. Absent ones are omitted. */
  describeServers(ids: string[] | undefined, signal: AbortSignal): Promise<ServerObservation[]>;
  /** A part of the console. Offsets count every byte that the guest has written, for as long as the server exists; what
   * is no longer stored is left out. Absent: `not_found`. */
  consoleOutput(instanceId: string, part: ConsolePart, signal: AbortSignal): Promise<ConsoleOutput>;
  /** The same region, called as part of that trace (W3C traceparent). Only if calls go to another process. */
  traced?(traceparent: string): RegionProvider;
  /**
   * Reports changes as they happen, until the signal aborts. The listener must not throw. May repeat; a hint, not a
   * log.
   */
  watch(listener: (event: ServerEvent) => void): () => void;
}
