/** What the handlers of a chain hand on to each other. */

/** Names a value of a context, and its type. */
export interface ContextKey<T> {
  readonly name: string;
  /** Only for the type. */
  readonly type?: T;
}

export function contextKey<T>(name: string): ContextKey<T> {
  return { name };
}

/** Immutable: a handler that has kept it sees no later change. */
export class JobContext {
  /** Aborts when the client disconnects, the request has taken too long, or the time of `withTimeout` is over. */
  readonly signal: AbortSignal;
  readonly #values: ReadonlyMap<ContextKey<unknown>, unknown>;

  constructor(signal: AbortSignal, values: ReadonlyMap<ContextKey<unknown>, unknown> = new Map()) {
    this.signal = signal;
    this.#values = values;
  }

  get<T>(key: ContextKey<T>): T | undefined {
    return this.#values.get(key) as T | undefined;
  }

  with<T>(key: ContextKey<T>, value: T): JobContext {
    return new JobContext(this.signal, new Map([...this.#values, [key, value]]));
  }

  withTimeout(milliseconds: number): JobContext {
    const signal = AbortSignal.any([this.signal, AbortSignal.timeout(milliseconds)]);
    return new JobContext(signal, this.#values);
  }

  /** The same with a function that cancels it. */
  withCancel(): [context: JobContext, cancel: (reason?: unknown) => void] {
    const controller = new AbortController();
    const signal = AbortSignal.any([this.signal, controller.signal]);
    return [new JobContext(signal, this.#values), (reason) => controller.abort(reason)];
  }
}
