// The summary of a test run: its ten slowest files, and the plain line that CI reads. The counts are also written to
// the file of .ci/run, with a line per failure and the time of each file: the gate repeats them at its end, where a
// truncated log still has them.
const { appendFileSync } = require('node:fs');

/** Counts, `failed` as lines, and `files`: milliseconds by file. */
module.exports = function summarize({ passes, failures, pending, failed, files }) {
  const slowest = Object.entries(files).sort(([, one], [, other]) => other - one);
  if (slowest.length > 1) {
    process.stdout.write('The slowest files:\n');
    for (const [file, milliseconds] of slowest.slice(0, 10))
      process.stdout.write(`${(milliseconds / 1000).toFixed(1).padStart(8)} s  ${file}\n`);
  }
  const summary = process.env.COPSE_TEST_SUMMARY;
  const times = slowest.map(([file, milliseconds]) => `# ${(milliseconds / 1000).toFixed(1)} ${file}`);
  if (summary)
    appendFileSync(summary, [`${passes} ${failures} ${pending}`, ...failed, ...times, ''].join('\n'));
  process.stdout.write(`${passes} passed, ${failures} failed, ${pending} skipped\n`);
};
