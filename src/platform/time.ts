/** Waiting: with a deadline, with a signal, or until something settles. */

/** Resolves after `ms`. Rejects with the signal's reason. `background` does not keep the process alive. */
export function pause(
  ms: number,
  options: { signal?: AbortSignal; background?: boolean } = {},
): Promise<void> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    if (options.background === true) timer.unref();
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** True once the promise settles, false after `ms`. Rejects with the signal's reason. */
export async function settlesWithin(
  promise: Promise<unknown>,
  ms: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const done = new AbortController();
  const stop = (): void => {
    done.abort(signal?.reason);
  };
  if (signal?.aborted === true) throw signal.reason;
  signal?.addEventListener('abort', stop, { once: true });
  const settled = promise.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([settled, pause(ms, { signal: done.signal }).then(() => false)]);
  } finally {
    signal?.removeEventListener('abort', stop);
    done.abort();
  }
}

/** The promise, or the signal's reason as soon as it aborts. The work behind the promise continues regardless. */
export async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop);
  }
}
