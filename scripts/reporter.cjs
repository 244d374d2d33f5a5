// mocha's spec reporter, ending with the plain line that CI reads, and leaving the counts in a file for .ci/run.
const { appendFileSync } = require('node:fs');
const { reporters, Runner } = require('mocha');

module.exports = class Summary extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env.COPSE_TEST_SUMMARY;
      if (file) appendFileSync(file, `${passes} ${failures} ${pending}\n`);
      process.stdout.write(`${passes} passed, ${failures} failed, ${pending} skipped\n`);
    });
  }
};
