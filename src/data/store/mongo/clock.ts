/** Time as this process knows it. No decision rests on the clock of another machine, nor on one clock alone. */

/** A moment by the wall clock, which may jump, and by the even one, which may stand still while the machine sleeps. */
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

  /** Milliseconds since then, by whichever clock says more; a wall clock that went back has jumped too. */
  since({ wall, even }: Moment): number {
    return Math.max(Math.abs(this.#wall() - wall), performance.now() - even);
  }
}
