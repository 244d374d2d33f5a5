/**
 * The port to a place that runs machines. `data` and `task` know this file and no provider.
 *
 * Contract, proven for every provider by test/contract/region: each mutation is idempotent and may be repeated after
 * a lost answer; each takes an AbortSignal; deleting what is absent succeeds; failures are RegionError, so that a
 * task can tell "try again" from "never". A server is known by the id of its instance: the provider stores it with
 * the machine and finds the machine by it, never by name.
 */
import type { Flavor } from '../model/flavor.js';
import type { Image } from '../model/image.js';
import type { Observation } from '../model/observation.js';
import type { RegionFeatures, RegionType } from '../model/region.js';

/**
 * - `not_found`: no such server, flavor or image.
 * - `conflict`: not in this state.
 * - `busy`: another operation on the server is running; try again soon.
 * - `unsupported`: the provider can never do this.
 * - `transient`: may work when tried again.
 * - `terminal`: will not work however often it is tried.
 */
export type RegionErrorKind = 'not_found' | 'conflict' | 'busy' | 'unsupported' | 'transient' | 'terminal';

export class RegionError extends Error {
  override readonly name = 'RegionError';
  readonly kind: RegionErrorKind;

  /** The message is shown to users (task cause, status detail): no paths, no command lines. Details go in `cause`. */
  constructor(kind: RegionErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** Who is asking: the region decides what that caller sees (Unikorn: impersonation). */
export interface RegionPrincipal {
  organizationId: string;
  projectIds: string[];
}

/** A machine to have. All values are validated by the caller; the provider still never puts one on a command line. */
export interface ServerRequest {
  /** Id of the instance, a UUID: the machine's identity. */
  id: string;
  /** DNS label; becomes the guest's hostname. */
  hostname: string;
  flavorId: string;
  imageId: string;
  /** What the flavor was when it was chosen: it may have left the catalog since. */
  flavor?: Flavor['spec'];
  /** `stopped`: the machine is only made, and waits for its first start. */
  power?: 'stopped';
  /** cloud-init input, decoded. At most 64 KiB. */
  userData?: Buffer;
  tags: { name: string; value: string }[];
}

export interface RebootOptions {
  hard: boolean;
  /** Names what is asked for, so that a repeat is recognised. */
  request?: string;
}

/** What the region sees of one server. */
export interface ServerObservation extends Observation {
  id: string;
}

export interface ConsoleOutput {
  contents: string;
}

export interface ServerEvent {
  id: string;
  /** Undefined: the server is gone. */
  observation: ServerObservation | undefined;
}

/** Rejects when the region with this identity is not for this process to drive. */
export type Admission = (identity: string) => Promise<void>;

export interface RegionProvider {
  readonly type: RegionType;
  /** Known after `open`. */
  readonly features: RegionFeatures;
  /**
   * Names the region's own state, and goes where that goes: two providers with the same see the same machines. Known after
   * `open`, where the state is in this process's reach.
   */
  readonly identity?: string | undefined;
  /** Whether the region answered when it was asked last. Only where a call goes to another process. */
  readonly answers?: boolean | undefined;

  /**
   * Connects and adopts the servers that live on from before. Rejects with the reason and what to do about it. `admit` is
   * called with the region's identity before any machine is started or signalled; when it rejects, none is. A provider whose
   * opening does neither need not call it.
   */
  open(admit?: Admission): Promise<void>;
  /** Lets go of everything without touching a server. */
  close(): Promise<void>;

  /** Flavors and images may be shared with whoever asked before: they are not to be changed. */
  listFlavors(principal: RegionPrincipal, signal: AbortSignal): Promise<Flavor[]>;
  listImages(principal: RegionPrincipal, signal: AbortSignal): Promise<Image[]>;

  /**
   * Makes the server if it is absent and has it running at least once, or leaves it off if that is asked for. Repeating it never
   * makes a second one.
   */
  ensureServer(request: ServerRequest, signal: AbortSignal): Promise<ServerObservation>;
  /** Ends the machine and removes everything of it. Absent is success. */
  deleteServer(instanceId: string, signal: AbortSignal): Promise<void>;
  /** Running is success. Absent: `not_found`. */
  startServer(instanceId: string, signal: AbortSignal): Promise<ServerObservation>;
  /** Asks the guest, then cuts the power after the provider's deadline. Stopped is success. Absent: `not_found`. */
  stopServer(instanceId: string, signal: AbortSignal): Promise<ServerObservation>;
  /**
   * Soft: asks the guest, and falls back to hard after the deadline. Not running: `conflict`. Absent: `not_found`. Of the
   * same `request` again, in a row, a machine that came up is left alone: the answer to the first was lost.
   */
  rebootServer(instanceId: string, options: RebootOptions, signal: AbortSignal): Promise<ServerObservation>;

  /** Observations of the given servers, or of all. Absent ones are left out. */
  describeServers(ids: string[] | undefined, signal: AbortSignal): Promise<ServerObservation[]>;
  /** The last `lines` lines of the console (all that is kept, without `lines`). Absent: `not_found`. */
  consoleOutput(instanceId: string, options: { lines?: number }, signal: AbortSignal): Promise<ConsoleOutput>;
  /** The same region, asked as a part of that trace (W3C traceparent). Only where a call goes to another process. */
  traced?(traceparent: string): RegionProvider;
  /** Changes as they happen, until the signal. The listener must not throw. May repeat; a hint, not a log. */
  watch(listener: (event: ServerEvent) => void): () => void;
}
