/** Reads of the same that are asked for in one turn of the event loop share one question to the server. */
export class Reads {
  readonly #waiting = new Map<string, Promise<unknown>>();

  /** All who ask under this name in this turn get the same. It is read after the last of them has asked. */
  share<R>(name: string, read: () => Promise<R>): Promise<R> {
    const known = this.#waiting.get(name);
    if (known !== undefined) return known as Promise<R>;
    const reading = new Promise<R>((resolve) => {
      setImmediate(() => {
        this.#waiting.delete(name);
        resolve(read());
      });
    });
    this.#waiting.set(name, reading);
    return reading;
  }
}
