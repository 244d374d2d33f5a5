/**
 * Loaded with --import into a server process: its wall clock is off by COPSE_TEST_SKEW milliseconds, as on a host
 * without NTP.
 */
const skew = Number(process.env['COPSE_TEST_SKEW'] ?? 0);
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...args: [] | [string | number | Date]) {
    if (args.length === 0) super(RealDate.now() + skew);
    else super(...(args as [string]));
  }

  static override now(): number {
    return RealDate.now() + skew;
  }
} as DateConstructor;
