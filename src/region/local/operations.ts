/** The acts on one machine: one after the other, each of which another may overtake while it waits. */
import { KeyedMutex } from '../../platform/keyed-mutex.js';
import { orAbort } from '../../platform/time.js';

export interface Operation {
  /** The caller gave up, or somebody overtook. */
  readonly signal: AbortSignal;
  /** Somebody overtook; for what must be finished although the caller gave up. */
  readonly overtaken: AbortSignal;
  /** Set while a stop may overtake: the act waits for its place in the start queue, or for a guest that is to reboot. */
  queued: boolean;
}

interface Entry extends Operation {
  overtake: (reason: Error) => void;
}

export class Operations {
  readonly #mutex = new KeyedMutex();
  readonly #entries = new Set<Entry>();
  #current: Entry | undefined;
  #closed: Error | undefined;

  /** Acts that run or wait. */
  get pending(): number {
    return this.#entries.size;
  }

  /**
   * Runs `work` in its turn. Without a signal it is work of our own. When the signal aborts, the caller gets its reason
   * at once, and the work, if it has begun, comes to its next safe point behind the scenes.
   */
  run<T>(signal: AbortSignal | undefined, work: (operation: Operation) => Promise<T>): Promise<T> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    const [given, overtaken] = [new AbortController(), new AbortController()];
    const onAbort = (): void => {
      given.abort(signal?.reason);
    };
    const entry: Entry = {
      signal: given.signal,
      overtaken: overtaken.signal,
      queued: false,
      overtake: (reason) => {
        overtaken.abort(reason);
        given.abort(reason);
      },
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#entries.add(entry);
    const result = this.#mutex
      .run(
        'machine',
        async () => {
          if (this.#closed !== undefined) throw this.#closed;
          this.#current = entry;
          return work(entry);
        },
        given.signal,
      )
      .finally(() => {
        signal?.removeEventListener('abort', onAbort);
        this.#entries.delete(entry);
        if (this.#current === entry) this.#current = undefined;
      });
    if (signal === undefined) return result;
    // The caller may be gone when it fails.
    result.catch(() => undefined);
    return orAbort(result, signal);
  }

  /** Ends the waiting of the act under way, if a stop may overtake it. */
  overtakeQueued(reason: Error): void {
    if (this.#current?.queued === true) this.#current.overtake(reason);
  }

  /** Ends the waiting of the act under way, whatever it waits for. */
  overtake(reason: Error): void {
    this.#current?.overtake(reason);
  }

  /** Gives everything up and waits until nothing runs. */
  async close(reason: Error): Promise<void> {
    this.#closed = reason;
    for (const entry of this.#entries) entry.overtake(reason);
    await this.#mutex.idle('machine');
  }
}
