/**
 * Loaded into a server with --import: its wall clock can jump while it runs. The first SIGUSR2 moves it an hour
 * forward, the second two hours back, and the third to the real time. Timers are unaffected, like the kernel's
 * monotonic clock.
 */
const hour = 3_600_000;
const offsets = [hour, -hour, 0];
const RealDate = Date;
let jumps = 0;
let offset = 0;

class JumpingDate extends RealDate {
  constructor(...given: unknown[]) {
    if (given.length === 0) super(RealDate.now() + offset);
    else super(...(given as [number]));
  }

  static override now(): number {
    return RealDate.now() + offset;
  }
}

globalThis.Date = JumpingDate as DateConstructor;
process.on('SIGUSR2', () => {
  offset = offsets[jumps % offsets.length] ?? 0;
  jumps += 1;
  process.stderr.write(`clock ${offset / hour} h\n`);
});
