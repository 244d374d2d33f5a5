/** Writes a server's record that could not be written when it changed, as soon as possible. */
import type { Operations } from './operations.js';
import type { ServerState } from './server-state.js';
import { pause } from '../../platform/time.js';

/** Milliseconds until the next attempt; doubled each time up to the second value. */
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

  /** Does nothing if there is nothing to write, or if it is already in progress. */
  begin(): void {
    if (!this.#state.isBehind || this.#running || this.#closing.aborted) return;
    this.#running = true;
    this.#run()
      // The region is closing; the next process determines the state of the machine by itself.
      .catch(() => undefined)
      .finally(() => (this.#running = false));
  }

  async #run(): Promise<void> {
    for (let wait = first; ; wait = Math.min(wait * 2, longest)) {
      // In turn with operations, which also write.
      await this.#operations.run(undefined, () => this.#state.catchUp());
      if (!this.#state.isBehind) return;
      await pause(wait, { signal: this.#closing, background: true });
    }
  }
}
