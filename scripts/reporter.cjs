// mocha's spec reporter, with the end that summary.cjs gives to a run.
const { relative } = require('node:path');
const { reporters, Runner } = require('mocha');
const summarize = require('./summary.cjs');

module.exports = class Summary extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const failed = [];
    const files = {};
    let began = 0;
    const isWhole = (suite) => suite.parent?.root === true;
    runner.on(Runner.constants.EVENT_SUITE_BEGIN, (suite) => {
      if (isWhole(suite)) began = Date.now();
    });
    runner.on(Runner.constants.EVENT_SUITE_END, (suite) => {
      if (!isWhole(suite)) return;
      const file = relative('', suite.file ?? '');
      files[file] = (files[file] ?? 0) + Date.now() - began;
    });
    runner.on(Runner.constants.EVENT_TEST_FAIL, (test, error) => {
      const [cause] = String(error?.message ?? error).split('\n', 1);
      failed.push(`! ${test.titlePath().join(' › ')}: ${cause}`.replaceAll('\n', ' '));
    });
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      summarize({ passes, failures, pending, failed, files });
    });
  }
};
