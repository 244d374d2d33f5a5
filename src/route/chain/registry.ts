/**
 * The chains by domain and resource. A change makes a new list, so that a request under way keeps the chain that it began
 * with, and nothing ever waits for anything.
 */
import type { ResourceHandler } from './handler.js';
import type { Environment } from './job.js';
import { assertName } from './path.js';

export interface Registration {
  domain: string;
  resource: string;
  handler: ResourceHandler;
}

/** A handler with this id is there already, or is just being registered. */
export class DuplicateHandlerError extends Error {
  override readonly name = 'DuplicateHandlerError';
}

/** `init` has failed; nothing is registered. */
export class InitHandlerError extends Error {
  override readonly name = 'InitHandlerError';
}

/** A handler at one place, and how many requests use it. */
interface Entry {
  readonly handler: ResourceHandler;
  uses: number;
  isRemoved: boolean;
}

export type Chain = readonly Entry[];

/** A domain and a resource; their case makes no difference. */
interface Place {
  chain: Chain;
  /** Ids whose `init` is running. */
  pending: Set<string>;
}

export class Registry {
  readonly #environment: Environment;
  readonly #domains = new Map<string, Map<string, Place>>();
  readonly #closed: (error: unknown) => void;

  /** `failed` is told of a handler whose `close` has failed. */
  constructor(environment: Environment, failed: (error: unknown) => void) {
    this.#environment = environment;
    this.#closed = failed;
  }

  /** The chain of the domain and the resource, or of the default resource or domain instead. */
  find(domain: string, resource: string): Chain | undefined {
    const { defaultDomain, defaultResource } = this.#environment;
    for (const [one, other] of [
      [domain, resource],
      [domain, defaultResource],
      [defaultDomain, defaultResource],
    ] as const) {
      const chain = this.#known(one, other)?.chain ?? [];
      if (chain.length > 0) return chain;
    }
    return undefined;
  }

  /** Appends the handler. Of two with one id, exactly one is registered. */
  async register(domain: string, resource: string, handler: ResourceHandler): Promise<void> {
    await this.registerAll([{ domain, resource, handler }]);
  }

  /** All of them, or none: a chain must not be served without the guard that another line would add. */
  async registerAll(registrations: readonly Registration[]): Promise<void> {
    for (const { domain, resource, entry } of await this.#prepare(registrations, false)) {
      const place = this.#place(domain, resource);
      place.chain = [...place.chain, entry];
    }
  }

  /** The whole chain at once: no request sees a part of it. */
  async replace(domain: string, resource: string, handlers: readonly ResourceHandler[]): Promise<void> {
    const entries = await this.#prepare(
      handlers.map((handler) => ({ domain, resource, handler })),
      true,
    );
    const place = this.#place(domain, resource);
    const former = place.chain;
    place.chain = entries.map(({ entry }) => entry);
    for (const entry of former) this.#remove(entry);
  }

  /** Removes these handlers, or all; returns the ids of those that were there. */
  deregister(domain: string, resource: string, ...ids: string[]): string[] {
    const place = this.#known(domain, resource);
    if (place === undefined) return [];
    const goes = ({ handler }: Entry) => ids.length === 0 || ids.includes(handler.id);
    const leaving = place.chain.filter(goes);
    place.chain = place.chain.filter((entry) => !goes(entry));
    for (const entry of leaving) this.#remove(entry);
    return leaving.map(({ handler }) => handler.id);
  }

  /** Their ids, in the order in which they run. */
  registeredHandlers(domain: string, resource: string): readonly string[] {
    return this.#known(domain, resource)?.chain.map(({ handler }) => handler.id) ?? [];
  }

  /** Marks the chain as used until the function that is returned is called. */
  use(chain: Chain): () => void {
    for (const entry of chain) entry.uses += 1;
    return () => {
      for (const entry of chain) {
        entry.uses -= 1;
        if (entry.isRemoved && entry.uses === 0) void this.#close(entry.handler);
      }
    };
  }

  #remove(entry: Entry): void {
    entry.isRemoved = true;
    if (entry.uses === 0) void this.#close(entry.handler);
  }

  #known(domain: string, resource: string): Place | undefined {
    return this.#domains.get(domain.toLowerCase())?.get(resource.toLowerCase());
  }

  #place(domain: string, resource: string): Place {
    const resources = this.#domains.get(domain.toLowerCase()) ?? new Map<string, Place>();
    this.#domains.set(domain.toLowerCase(), resources);
    const place = resources.get(resource.toLowerCase()) ?? { chain: [], pending: new Set<string>() };
    resources.set(resource.toLowerCase(), place);
    return place;
  }

  /** Initialises the handlers, all or none. Their ids are reserved as long as that takes. */
  async #prepare(registrations: readonly Registration[], replaces: boolean) {
    const reserved: Registration[] = [];
    const ready: (Registration & { entry: Entry })[] = [];
    try {
      for (const one of registrations) {
        this.#reserve(one, replaces);
        reserved.push(one);
      }
      for (const one of registrations) {
        await this.#init(one);
        ready.push({ ...one, entry: { handler: one.handler, uses: 0, isRemoved: false } });
      }
      return ready;
    } catch (error) {
      for (const { handler } of ready.reverse()) await this.#close(handler);
      throw error;
    } finally {
      for (const one of reserved) this.#place(one.domain, one.resource).pending.delete(one.handler.id);
    }
  }

  #reserve({ domain, resource, handler: { id } }: Registration, replaces: boolean): void {
    assertNames({ domain, resource, id });
    const { chain, pending } = this.#place(domain, resource);
    if (pending.has(id) || (!replaces && chain.some(({ handler }) => handler.id === id)))
      throw new DuplicateHandlerError(`${domain}/${resource} already has a handler "${id}"`);
    pending.add(id);
  }

  async #init({ domain, resource, handler }: Registration): Promise<void> {
    try {
      await handler.init?.(this.#environment, domain, resource);
    } catch (cause) {
      throw new InitHandlerError(
        `${domain}/${resource}: the handler "${handler.id}" could not be initialised`,
        {
          cause,
        },
      );
    }
  }

  async #close(handler: ResourceHandler): Promise<void> {
    try {
      await handler.close?.();
    } catch (error) {
      this.#closed(error);
    }
  }
}

function assertNames(names: Record<'domain' | 'resource' | 'id', unknown>): void {
  for (const [what, name] of Object.entries(names)) assertName(what, name);
}
