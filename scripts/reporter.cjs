// mocha's spec reporter, ending with the plain line that CI reads, and leaving the counts in a file for .ci/run, with
// a line for each failure: the gate repeats them at its end, where a log that was cut still has them.
const { appendFileSync } = require('node:fs');
const { reporters, Runner } = require('mocha');

module.exports = class Summary extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const failed = [];
    runner.on(Runner.constants.EVENT_TEST_FAIL, (test, error) => {
      const [cause] = String(error?.message ?? error).split('\n', 1);
      failed.push(`! ${test.titlePath().join(' › ')}: ${cause}`.replaceAll('\n', ' '));
    });
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env.COPSE_TEST_SUMMARY;
      if (file) appendFileSync(file, [`${passes} ${failures} ${pending}`, ...failed, ''].join('\n'));
      process.stdout.write(`${passes} passed, ${failures} failed, ${pending} skipped\n`);
    });
  }
};
