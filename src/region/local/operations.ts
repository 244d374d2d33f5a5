/** The operations on one machine: one after the other, where one may overtake another that is waiting. */
import { KeyedMutex } from '../../platform/keyed-mutex.js';
import { orAbort } from '../../platform/time.js';

export interface Operation {
  /** The caller gave up, or another operation overtook this one. */
  readonly signal: AbortSignal;
  /** Another operation overtook this one; for work that must be finished even if the caller gave up. */
  readonly overtaken: AbortSignal;
  /** Set while a stop may overtake: the operation waits for its slot in the start queue, or for a rebooting guest. */
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

  /** Running or waiting operations. */
  get pending(): number {
    return this.#entries.size;
  }

  /**
   * Runs `work` in its turn. Without a signal it is internal work. When the signal aborts, the caller gets its reason
   * at once, and the work, if it has begun, continues to its next safe point in the background.
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
    // The caller may be gone by the time it fails.
    result.catch(() => undefined);
    return orAbort(result, signal);
  }

  /** Ends the waiting of the current operation, if a stop may overtake it. */
  overtakeQueued(reason: Error): void {
    if (this.#current?.queued === true) this.#current.overtake(reason);
  }

  /** Ends the waiting of the current operation, whatever it waits for. */
  overtake(reason: Error): void {
    this.#current?.overtake(reason);
  }

  /** Aborts everything and waits until nothing is running. */
  async close(reason: Error): Promise<void> {
    this.#closed = reason;
    for (const entry of this.#entries) entry.overtake(reason);
    await this.#mutex.idle('machine');
  }
}
