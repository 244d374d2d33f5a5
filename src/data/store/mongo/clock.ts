/** Time as this process measures it. No decision depends on the clock of another machine, or on one clock alone. */

/** A moment by the wall clock, which may jump, and by the monotonic one, which may stop while the machine sleeps. */
export interface Moment {
  readonly wall: number;
  readonly even: number;
}

export const longAgo: Moment = { wall: -Infinity, even: -Infinity };

export class Clock {
  readonly #wall: () => number;

  /** `wall` is for tests: milliseconds since 1970. */
  constructor(wall: () => number = () => Date.now()) {
    this.#wall = wall;
  }

  now(): number {
    return this.#wall();
  }

  moment(): Moment {
    return { wall: this.#wall(), even: performance.now() };
  }

  /** Milliseconds since then, by the clock that shows more; a wall clock that went backward has jumped too. */
  since({ wall, even }: Moment): number {
    return Math.max(Math.abs(this.#wall() - wall), performance.now() - even);
  }
}
