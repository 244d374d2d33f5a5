/**
 * Booting is expensive where idling is nearly free: twenty guests that boot at once on two cores all need 90 s; in a
 * queue as wide as the cores, 5 s each. So every start waits here for a slot, and holds it until its guest has booted.
 */
import PQueue from 'p-queue';

export interface Start<T> {
  /** Leaves the queue while still waiting. */
  signal: AbortSignal;
  /** Runs the guest. The caller gets its result when this ends. */
  begin: () => Promise<T>;
  /** Resolves, never rejects, when the guest has booted; only the queue waits for that. */
  booted: (started: T) => Promise<void>;
}

export class StartQueue {
  readonly #queue: PQueue;

  constructor(width: number) {
    this.#queue = new PQueue({ concurrency: width });
  }

  run<T>(start: Start<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const onAbort = (): void => {
        reject(start.signal.reason as Error);
      };
      if (start.signal.aborted) {
        onAbort();
        return;
      }
      start.signal.addEventListener('abort', onAbort, { once: true });
      const turn = async (): Promise<void> => {
        start.signal.removeEventListener('abort', onAbort);
        if (start.signal.aborted) return;
        const running = start.begin();
        running.then(resolve, reject);
        await start.booted(await running);
      };
      // A failed start has already been reported to its caller.
      this.#queue.add(turn).catch(() => undefined);
    });
  }
}
