/** As those of EventTarget. */
export interface ListenerOptions {
  once?: boolean;
  /** Ends the listening. */
  signal?: AbortSignal;
}

/**
 * As much of an AbortSignal as a store needs to end a read. Every AbortSignal is one; a request has one from its start,
 * while a signal of its own, which costs it 3 µs, is made for those that ask.
 */
export interface Interruption {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  /** After the abort the listener is never called, as with an AbortSignal: ask `aborted` before. */
  addEventListener(type: 'abort', listener: () => void, options?: ListenerOptions): void;
}
