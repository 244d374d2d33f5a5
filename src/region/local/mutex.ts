/** One at a time, in the order of asking. */
import { orAbort } from './time.js';

export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  /** Runs `work` when all earlier work is done. An abort while waiting gives up the place; later it changes nothing. */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = this.#tail;
    const result = (signal === undefined ? turn : orAbort(turn, signal)).then(work);
    // Whoever comes next waits for all before it, also when this one gave up early.
    this.#tail = Promise.allSettled([turn, result]);
    return result;
  }

  /** Resolves when everything that was asked for until now is done. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}
