/** Registers the address of this process for its regions, so that the API processes of the site can call it. */
import { hostname } from 'node:os';
import type { OpenRegion } from '../data/region.js';
import type { WorkerData, WorkerRecord } from '../data/worker.js';
import type { Log } from '../model/log.js';
import type { RegionType } from '../model/region.js';
import { RemoteRegion } from '../region/remote/index.js';

export interface RegistrationOptions {
  /** Base URL of this process's WorkerServer. */
  address: string;
  secret: Buffer;
  /** Between checks that the regions are still registered with a process that responds. Default: 5,000. */
  intervalMs?: number;
}

/** The time within which a registered worker must respond. */
const timeoutMs = 3000;

const anyAddress = /^(https?:\/\/)(0\.0\.0\.0|\[::\])(?=[:/]|$)/;
const loopback = /^https?:\/\/(localhost|127\.[0-9.]+|\[::1\])([:/]|$)/;

/** The address to register: the configured one, or where the server listens; "any address" becomes the host name. */
export function registeredAddress(configured: string, listening: string): string {
  const address = configured === '' ? listening : configured.replace(/\/+$/, '');
  return address.replace(anyAddress, (_all, scheme: string) => scheme + hostname());
}

/** Whether only processes of this machine can reach the address. */
export function isOnlyHere(address: string): boolean {
  return loopback.test(address);
}

/**
 * The folder of real machines may have been copied to another host. Rejects if a worker that registered under an
 * address other than `own` already drives them.
 */
export async function mustBeAlone(
  workers: WorkerData,
  region: Pick<OpenRegion, 'id' | 'name'>,
  secret: Buffer,
  own?: string,
): Promise<void> {
  const registered = await workers.of(region.id);
  if (registered === undefined || registered.address === own) return;
  if (!(await answers(registered, 'local', secret))) return;
  throw new Error(
    `Region ${region.name} is already driven by another worker at ${registered.address}. ` +
      'Stop that worker, or give this region a different name.',
  );
}

/** Whether the registered worker responds for its region. */
function answers(
  { regionId, features, address }: WorkerRecord,
  type: RegionType,
  secret: Buffer,
  signals: AbortSignal[] = [],
): Promise<boolean> {
  const worker = new RemoteRegion({ regionId, type, features, address, secret });
  return worker.isThere(AbortSignal.any([...signals, AbortSignal.timeout(timeoutMs)]));
}

/**
 * Several processes may drive a region; the last one to register is called. If it dies, one of the others takes over.
 */
export class Registration {
  readonly #workers: WorkerData;
  readonly #open: readonly OpenRegion[];
  readonly #options: RegistrationOptions;
  readonly #log: Log;
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #checking: Promise<void> | undefined;

  constructor(workers: WorkerData, open: readonly OpenRegion[], options: RegistrationOptions, log: Log) {
    this.#workers = workers;
    this.#open = open;
    this.#options = options;
    this.#log = log;
  }

  async start(): Promise<void> {
    for (const region of this.#open) {
      const { address, secret } = this.#options;
      // Once more: another one may have started at the same time.
      if (region.provider.type === 'local') await mustBeAlone(this.#workers, region, secret, address);
      await this.#register(region);
    }
    this.#plan();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#checking;
  }

  #register({ id, provider }: OpenRegion): Promise<void> {
    return this.#workers.register({
      regionId: id,
      address: this.#options.address,
      features: provider.features,
    });
  }

  #plan(): void {
    if (this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#checking = this.#takeOverUnanswered()
        .catch((error: unknown) =>
          this.#log.warn({ err: error }, 'cannot check the registration of the regions'),
        )
        .finally(() => this.#plan());
    }, this.#options.intervalMs ?? 5000);
  }

  async #takeOverUnanswered(): Promise<void> {
    for (const region of this.#open) {
      const registered = await this.#workers.of(region.id);
      if (registered !== undefined && (await this.#isServed(registered, region.provider))) continue;
      if (this.#closing.signal.aborted) return;
      // Another process may have taken over while it was being checked.
      if ((await this.#workers.of(region.id))?.address !== registered?.address) continue;
      await this.#register(region);
      this.#log.info({ region: region.name }, 'took over from a worker that does not respond');
    }
  }

  /** Whether the registered worker responds; assumed for this process itself. */
  async #isServed(registered: WorkerRecord, { type }: OpenRegion['provider']): Promise<boolean> {
    const { address, secret } = this.#options;
    if (registered.address === address) return true;
    return answers(registered, type, secret, [this.#closing.signal]);
  }
}
