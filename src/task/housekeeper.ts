/** Removes what has served its time. */
import type { IdempotencyData } from '../data/idempotency.js';
import type { Log } from '../model/log.js';

/** Milliseconds between two rounds. */
const interval = 10 * 60 * 1000;

export class Housekeeper {
  readonly #idempotency: IdempotencyData;
  readonly #log: Log;
  readonly #tidyStore: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();

  /** `tidyStore` gives the store's unused space back, a little at each round. */
  constructor(
    idempotency: IdempotencyData,
    log: Log,
    tidyStore: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.#idempotency = idempotency;
    this.#log = log;
    this.#tidyStore = tidyStore;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#round = this.#tidy();
    }, interval);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#round;
  }

  async #tidy(): Promise<void> {
    try {
      const removed = await this.#idempotency.purge(Date.now());
      if (removed > 0) this.#log.debug({ removed }, 'removed old answers');
    } catch (error) {
      this.#log.warn({ err: error }, 'cannot remove old answers');
    }
    try {
      await this.#tidyStore();
    } catch (error) {
      this.#log.warn({ err: error }, 'cannot give unused space of the store back');
    }
  }
}
