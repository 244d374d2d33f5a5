// npm run chaos -- [--minutes N] [--seed N]: sets up and compiles like npm test, then runs the chaos test for that
// long.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildProgram, buildTests } from './setup/build.mjs';
import { ensureMongoServer } from './setup/documentdb.mjs';
import { checkNode, ensureNpmPackages } from './setup/machine.mjs';
import { say, StepFailed } from './setup/steps.mjs';

const root = join(import.meta.dirname, '..');
const usage = 'npm run chaos -- [--minutes 3] [--seed 20261121] [--store mongodb]';

function optionsOf(args) {
  try {
    const text = { type: 'string' };
    return parseArgs({ args, options: { minutes: text, seed: text, store: text, help: { type: 'boolean' } } })
      .values;
  } catch (error) {
    say(`${error.message}\n${usage}`);
    process.exit(1);
  }
}

const {
  minutes = '3',
  seed = String(Math.floor(Math.random() * 1e9)),
  store,
  help,
} = optionsOf(process.argv.slice(2));
if (help) {
  say(usage);
  process.exit(0);
}
try {
  checkNode();
  await ensureNpmPackages();
  if (store !== undefined) await ensureMongoServer();
  await buildProgram();
  await buildTests();
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  say(`\n${error.message}`);
  process.exit(1);
}
const mocha = join(root, 'node_modules/mocha/bin/mocha.js');
const child = spawn(process.execPath, [mocha, '--spec', 'build/test/long/chaos.test.js'], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    COPSE_CHAOS_MINUTES: minutes,
    COPSE_CHAOS_SEED: seed,
    ...(store === undefined ? {} : { COPSE_TEST_STORE: store }),
  },
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.once('exit', (code) => {
  process.exitCode = code ?? 1;
});
