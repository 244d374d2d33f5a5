/** Work under one name happens one after the other, in the order in which it was asked for. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  async take<R>(name: string, work: () => Promise<R>): Promise<R> {
    const before = this.#last.get(name);
    const working = before === undefined ? work() : before.then(work);
    const done = working.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(name, done);
    try {
      return await working;
    } finally {
      if (this.#last.get(name) === done) this.#last.delete(name);
    }
  }
}
