/**
 * Tells when a lease has run out without comparing clocks: a holder that shows no sign for the time of a lease, as this
 * process measures it, is taken for lost. Clocks of machines differ, and a clock that is ahead must not rob the living.
 */
export class LeaseWatch {
  readonly #seen = new Map<string, { stamp: string; since: number; round: number }>();
  #round = 0;

  /** Begins a round over all leases. */
  begin(): void {
    this.#round += 1;
  }

  /** Whether the stamp, which each sign of life changes, has been the same for so many ms of this process's own time. */
  silent(id: string, stamp: string, patience: number, now: number): boolean {
    const known = this.#seen.get(id);
    const since = known?.stamp === stamp ? known.since : now;
    this.#seen.set(id, { stamp, since, round: this.#round });
    return now - since >= patience;
  }

  /** The leases could not be looked at, and so not be renewed either: all are counted from their next look on. */
  blind(): void {
    this.#seen.clear();
  }

  /** Ends the round: leases that it did not meet are forgotten. */
  end(): void {
    for (const [id, { round }] of this.#seen) if (round !== this.#round) this.#seen.delete(id);
  }
}
