/**
 * Detects expired leases without comparing clocks: a holder without a heartbeat for the length of a lease, as measured
 * by this process, counts as lost. Clocks of machines differ, and a fast clock must not take work from a living
 * process.
 */
export class LeaseWatch {
  readonly #seen = new Map<string, { stamp: string; since: number; round: number }>();
  #round = 0;

  /** Begins a round over all leases. */
  begin(): void {
    this.#round += 1;
  }

  /**
   * Whether the stamp, which each heartbeat changes, has been the same for this many ms by this process's own clock.
   */
  silent(id: string, stamp: string, timeoutMs: number, now: number): boolean {
    const known = this.#seen.get(id);
    const since = known?.stamp === stamp ? known.since : now;
    this.#seen.set(id, { stamp, since, round: this.#round });
    return now - since >= timeoutMs;
  }

  /**
   * The leases could not be read, and so could not be renewed either: all are measured again from their next reading.
   */
  blind(): void {
    this.#seen.clear();
  }

  /** Ends the round: leases that did not occur in it are forgotten. */
  end(): void {
    for (const [id, { round }] of this.#seen) if (round !== this.#round) this.#seen.delete(id);
  }
}
