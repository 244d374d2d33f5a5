/** Signals that the change log has grown, by any process: a hint to poll, at the cost of one small read at a time. */
import type { Store } from './store/port.js';

export class ChangeFeed {
  readonly #store: Store;
  readonly #intervalMs: number;
  readonly #listeners = new Set<(foreign: boolean) => void>();
  readonly #closing = new AbortController();
  readonly #unwatch: () => void;
  #last = 0;
  #others = -1;
  #timer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;

  /** `intervalMs`: how late the writes of other processes are noticed. */
  constructor(store: Store, intervalMs: number) {
    this.#store = store;
    this.#intervalMs = intervalMs;
    this.#unwatch = store.watch(() => this.#tell(false));
    this.#plan();
  }

  /**
   * Calls the listener after each write of this process and, with `foreign`, when others may have written; it must not
   * throw.
   */
  subscribe(listener: (foreign: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Aborts when the process stops, which ends all followers. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#unwatch();
    clearTimeout(this.#timer);
    await this.#polling;
  }

  #tell(foreign: boolean): void {
    for (const listener of this.#listeners) listener(foreign);
  }

  #plan(): void {
    this.#timer = setTimeout(() => {
      this.#polling = this.#poll();
    }, this.#intervalMs);
  }

  async #poll(): Promise<void> {
    try {
      const { position, others } = await this.#store.lastChange();
      if (position !== this.#last) this.#tell(others !== this.#others);
      this.#last = position;
      this.#others = others;
    } catch {
      // The store is unavailable. Others report that; here it only means that there is no news.
    }
    if (!this.#closing.signal.aborted) this.#plan();
  }
}

/** One follower of the feed, which may be busy in between: news from before the wait end it at once. */
export class Follower {
  readonly #leave: () => void;
  #news = false;
  #wake: (() => void) | undefined;

  constructor(feed: ChangeFeed) {
    this.#leave = feed.subscribe(() => {
      this.#news = true;
      this.#wake?.();
    });
  }

  /** To be called before reading: only what comes later counts as news. */
  mark(): void {
    this.#news = false;
  }

  /** Resolves with true at news since the mark, with false after the given milliseconds or when the signal aborts. */
  wait(milliseconds: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        this.#wake = undefined;
        resolve(this.#news);
      };
      const timer = setTimeout(end, milliseconds);
      signal.addEventListener('abort', end, { once: true });
      this.#wake = end;
      if (this.#news || signal.aborted) end();
    });
  }

  leave(): void {
    this.#leave();
  }
}
