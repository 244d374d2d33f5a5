/** Equal reads in one turn of the event loop share one request to the server. */
export function singleFlight(): <R>(key: string, read: () => Promise<R>) => Promise<R> {
  const waiting = new Map<string, Promise<unknown>>();
  /** All callers with this key in this turn get the same result. It is read after the last of them has called. */
  return <R>(key: string, read: () => Promise<R>): Promise<R> => {
    const known = waiting.get(key);
    if (known !== undefined) return known as Promise<R>;
    const reading = new Promise<R>((resolve) => {
      setImmediate(() => {
        waiting.delete(key);
        resolve(read());
      });
    });
    waiting.set(key, reading);
    return reading;
  };
}
