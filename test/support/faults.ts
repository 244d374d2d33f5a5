/** Makes single file operations fail as the system would, below all of Copse's code: each once, one by one. */

export const faultCodes = ['ENOSPC', 'EIO', 'EMFILE', 'EACCES'] as const;
export type FaultCode = (typeof faultCodes)[number];

/** An operation is identified by its kind, its target, and its number since the work began. */
export class Faults {
  #counts = new Map<string, number>();
  #recorded: Set<string> | undefined;
  #armed: { operation: string; code: FaultCode } | undefined;
  #lasting: { what: string; from: number; code: FaultCode } | undefined;
  #failed = false;
  #refusals = 0;

  /** How many operations have failed since the work began. */
  get refusals(): number {
    return this.#refusals;
  }

  /** All operations of the work. */
  async record(work: () => Promise<unknown>): Promise<string[]> {
    const recorded = new Set<string>();
    this.#begin();
    this.#recorded = recorded;
    try {
      await work();
    } finally {
      this.#recorded = undefined;
    }
    return [...recorded];
  }

  /** Makes the operation fail while the work runs. Returns whether it occurred. */
  async failing(operation: string, code: FaultCode, work: () => Promise<unknown>): Promise<boolean> {
    this.#begin();
    this.#armed = { operation, code };
    try {
      await work();
    } finally {
      this.#armed = undefined;
    }
    return this.#failed;
  }

  /** Makes the operation fail from this occurrence on while the work runs, as on a disk that stays full. */
  async lasting<R>(what: string, from: number, code: FaultCode, work: () => Promise<R>): Promise<R> {
    this.#begin();
    this.#lasting = { what, from, code };
    try {
      return await work();
    } finally {
      this.#lasting = undefined;
    }
  }

  /** Called by each operation: returns the code that it must fail with. */
  meet(what: string): FaultCode | undefined {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    this.#recorded?.add(`${what} #${count}`);
    const code = this.#codeOf(what, count);
    if (code !== undefined) this.#refusals += 1;
    return code;
  }

  #codeOf(what: string, count: number): FaultCode | undefined {
    if (what === this.#lasting?.what && count >= this.#lasting.from) return this.#lasting.code;
    if (this.#failed || this.#armed?.operation !== `${what} #${count}`) return undefined;
    this.#failed = true;
    return this.#armed.code;
  }

  #begin(): void {
    this.#counts = new Map();
    this.#failed = false;
    this.#refusals = 0;
  }
}
