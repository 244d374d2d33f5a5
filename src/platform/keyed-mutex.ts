import { orAbort } from './time.js';

/** Work under one key runs one at a time, in the order of the requests. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Runs `work` when all earlier work is done. An abort while waiting gives up the place; a later one has no effect.
   */
  run<R>(key: string, work: () => Promise<R>, signal?: AbortSignal): Promise<R> {
    const turn = this.#tails.get(key) ?? Promise.resolve();
    const result = (signal === undefined ? turn : orAbort(turn, signal)).then(work);
    // The next one waits for all earlier work, even if this one gave up.
    const tail = Promise.allSettled([turn, result]).then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    this.#tails.set(key, tail);
    return result;
  }

  /** Resolves when all work requested so far is done. */
  async idle(key: string): Promise<void> {
    await this.#tails.get(key);
  }
}
