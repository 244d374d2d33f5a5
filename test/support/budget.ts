/** Budgets of tests whose rounds differ by chance, so that each more only adds confidence. */

/** COPSE_TEST_THOROUGH=1: everything, however long it takes. */
export const thorough = process.env['COPSE_TEST_THOROUGH'] === '1';

export interface Budget {
  /** Rounds without which the test would mean little. */
  least: number;
  /** Rounds of a thorough run. */
  most: number;
  /** After these seconds no round beyond the least begins, unless there is not enough yet. */
  seconds: number;
}

/** The numbers of the rounds, from 0. `enough`: whether what the test expects of all rounds together is there. */
export function* rounds({ least, most, seconds }: Budget, enough = () => true): Generator<number> {
  const end = performance.now() + seconds * 1000;
  for (let round = 0; round < most; round += 1) {
    if (!thorough && round >= least && performance.now() > end && enough()) return;
    yield round;
  }
}
