/** Writes the record of a server down that could not be written when it changed, as soon as it can be. */
import type { Operations } from './operations.js';
import type { ServerState } from './server-state.js';
import { pause } from '../../platform/time.js';

/** Milliseconds to the next try; doubled each time up to the second. */
const first = 250;
const longest = 30_000;

export class CatchUp {
  readonly #state: ServerState;
  readonly #operations: Operations;
  readonly #closing: AbortSignal;
  #running = false;

  constructor(state: ServerState, operations: Operations, closing: AbortSignal) {
    this.#state = state;
    this.#operations = operations;
    this.#closing = closing;
  }

  /** Does nothing when there is nothing to write, or when it is at it already. */
  begin(): void {
    if (!this.#state.isBehind || this.#running || this.#closing.aborted) return;
    this.#running = true;
    this.#run()
      // The region closes; the next process finds out by itself how the machine is.
      .catch(() => undefined)
      .finally(() => (this.#running = false));
  }

  async #run(): Promise<void> {
    for (let wait = first; ; wait = Math.min(wait * 2, longest)) {
      // In its turn: an act writes, too.
      await this.#operations.run(undefined, () => this.#state.catchUp());
      if (!this.#state.isBehind) return;
      await pause(wait, { signal: this.#closing, background: true });
    }
  }
}
