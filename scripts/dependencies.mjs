// Checks the imports of src/ against .dependency-cruiser.cjs. Also fails if nothing was checked: with an unknown
// compiler, dependency-cruiser finds no modules and reports success.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const run = spawnSync(
  process.execPath,
  [
    'node_modules/dependency-cruiser/bin/dependency-cruise.mjs',
    '--config',
    '.dependency-cruiser.cjs',
    '--output-type',
    'json',
    'src',
  ],
  { cwd: root, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 },
);
if (run.error || run.stdout === '') {
  process.stderr.write(`dependency-cruiser did not run: ${run.error?.message ?? run.stderr}\n`);
  process.exit(1);
}
const { summary } = JSON.parse(run.stdout);
for (const violation of summary.violations) {
  const cycle =
    violation.cycle === undefined ? '' : ` (${violation.cycle.map((step) => step.name ?? step).join(' → ')})`;
  process.stderr.write(`${violation.rule.name}: ${violation.from} → ${violation.to}${cycle}\n`);
}
process.stdout.write(
  `imports: ${summary.totalCruised} modules, ${summary.totalDependenciesCruised} imports, ${summary.violations.length} violations\n`,
);
process.exit(summary.violations.length > 0 || summary.totalCruised < 20 ? 1 : 0);
