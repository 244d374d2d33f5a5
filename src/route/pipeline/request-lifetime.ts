import type { Interruption, ListenerOptions } from '../../model/interruption.js';

/**
 * The lifetime of a request: until its response is sent, its client disconnects or its time is up. The AbortSignal is
 * created only on demand: it costs 3 µs.
 */
export class RequestLifetime implements Interruption {
  #controller: AbortController | undefined;
  #reason: Error | undefined;
  #abandon: ((reason: Error) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #milliseconds = 0;
  #late: (() => Error) | undefined;

  /** Aborts with the reason after the given milliseconds, unless it is released first. */
  limit(milliseconds: number, reason: () => Error): void {
    this.#milliseconds = milliseconds;
    this.#late = reason;
    this.#timer = setTimeout(() => this.abort(reason()), milliseconds);
  }

  /** Extends the limit, which starts over: for the beginning of a request, once its route is known. */
  extend(milliseconds: number): void {
    if (this.#late === undefined || this.#reason !== undefined) return;
    clearTimeout(this.#timer);
    this.limit(this.#milliseconds + milliseconds, this.#late);
  }

  /** Removes the limit, and releases the work's result, which would otherwise live as long as this object. */
  release(): void {
    clearTimeout(this.#timer);
    this.#late = undefined;
    this.#abandon = undefined;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  get reason(): Error | undefined {
    return this.#reason;
  }

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  throwIfAborted(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  addEventListener(type: 'abort', listener: () => void, options?: ListenerOptions): void {
    this.signal.addEventListener(type, listener, options);
  }

  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.#abandon?.(reason);
  }

  /**
   * The work's result, or the abort reason as soon as there is one: the caller gets a result in any case. After the
   * release nothing waits, and the work runs to its end. One work at a time: the next one replaces the last.
   */
  race<R>(work: Promise<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      if (this.#reason !== undefined) reject(this.#reason);
      this.#abandon = reject;
      work.then(resolve, reject);
    });
  }
}
