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
export function settlesWithin(promise: Promise<unknown>, ms: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const release = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      release();
      reject(signal?.reason as Error);
    };
    const end = (settled: boolean) => (): void => {
      release();
      resolve(settled);
    };
    const timer = setTimeout(end(false), ms);
    signal?.addEventListener('abort', onAbort, { once: true });
    promise.then(end(true), end(true));
  });
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
