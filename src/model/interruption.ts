/** As those of EventTarget. */
export interface ListenerOptions {
  once?: boolean;
  /** Removes the listener. */
  signal?: AbortSignal;
}

/**
 * The part of AbortSignal that a store needs to end a read. Every AbortSignal is one. A request has one from its start;
 * a real signal, which costs 3 µs, is created only on demand.
 */
export interface Interruption {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  /** As with an AbortSignal, a listener added after the abort is never called: check `aborted` first. */
  addEventListener(type: 'abort', listener: () => void, options?: ListenerOptions): void;
}
