// mocha's spec reporter, with the summary of summary.cjs. One of several lanes leaves that to lanes.mjs.
const { writeFileSync } = require('node:fs');
const { relative } = require('node:path');
const { reporters, Runner } = require('mocha');
const summarize = require('./summary.cjs');

/** Milliseconds until a run that does not end by itself is terminated. */
const timeoutMs = 60_000;

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
      const result = { passes, failures, pending, failed, files };
      const lane = process.env.COPSE_TEST_LANE;
      if (lane) writeFileSync(lane, JSON.stringify(result));
      else summarize(result);
      // For example because of a server that was started in a failed hook, and that nothing stops.
      setTimeout(() => {
        const open = process.getActiveResourcesInfo().join(', ');
        process.stderr.write(`!!! Something keeps the run from ending; it is cut off: ${open}\n`);
        // mocha sets its own exit code at the end.
        process.on('exit', () => (process.exitCode = 1));
        process.exit();
      }, timeoutMs).unref();
    });
  }
};
