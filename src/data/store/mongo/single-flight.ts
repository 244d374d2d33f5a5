/** Equal reads that are asked for in one turn of the event loop share one question to the server. */
export function singleFlight(): <R>(key: string, read: () => Promise<R>) => Promise<R> {
  const waiting = new Map<string, Promise<unknown>>();
  /** All who ask under this key in this turn get the same. It is read after the last of them has asked. */
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
