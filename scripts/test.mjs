// npm test: sets the machine up like "npm run up", compiles, and runs mocha. `npm test -- --long` runs the long suites,
// any other arguments go to mocha.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { buildImage, buildProgram, buildTests } from './setup/build.mjs';
import { checkNode, ensureNpmPackages, ensureSystemPackages } from './setup/machine.mjs';
import { say, StepFailed } from './setup/steps.mjs';

const root = join(import.meta.dirname, '..');
const given = process.argv.slice(2);
const long = given.includes('--long');
const rest = given.filter((word) => word !== '--long');

/** Suites with real machines need the emulator; without the right to install it they are skipped, and say so. */
async function prepareMachines() {
  try {
    await ensureSystemPackages();
    await buildImage(join(root, '.cache', 'images'));
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(`\n!!! The suites with real virtual machines will be SKIPPED:\n${error.message}\n`);
  }
}

function mocha(args) {
  const bin = join(root, 'node_modules/mocha/bin/mocha.js');
  const child = spawn(process.execPath, [bin, '--reporter', join(root, 'scripts/reporter.cjs'), ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  return new Promise((done) => child.once('exit', (code, signal) => done(signal === null ? code : 1)));
}

try {
  checkNode();
  await ensureNpmPackages();
  await prepareMachines();
  await buildProgram();
  await buildTests();
  const chosen = rest.some((word) => !word.startsWith('-'));
  const suites = long
    ? ['--spec', 'build/test/long/**/*.test.js']
    : ['--spec', 'build/test/**/*.test.js', '--ignore', 'build/test/long/**'];
  process.exitCode = await mocha([...(chosen ? [] : suites), ...rest]);
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  say(`\n${error.message}`);
  process.exitCode = 1;
}
