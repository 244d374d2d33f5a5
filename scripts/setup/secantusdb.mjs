// Installs the test server with transactions, once per state of its sources, if Python is available.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { step, StepFailed } from './steps.mjs';

const root = join(import.meta.dirname, '..', '..');
const requirements = join(root, 'test/support/secantusdb/requirements.txt');
const folder = join(root, '.cache/secantusdb');

/** The versions for which requirements.txt has wheels. */
const versions = ['3.11', '3.12', '3.13'];

function python() {
  return ['python3', ...versions.map((version) => `python${version}`)].find((name) => {
    try {
      const version = execFileSync(
        name,
        ['-c', 'import venv, ensurepip, sys; print("%d.%d" % sys.version_info[:2])'],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      );
      return versions.includes(version.trim());
    } catch {
      return false;
    }
  });
}

/** An environment depends on the Python that created it. */
function runs(file) {
  try {
    execFileSync(file, ['-c', 'import secantus'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Resolves when it is installed. test/support/mongo-program.ts uses the same names. */
export async function ensureSecantusDb() {
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16);
  const home = join(folder, hash);
  const whole = join(home, 'whole');
  if (existsSync(whole) && runs(join(home, 'bin/python'))) return;
  const found = python();
  if (found === undefined)
    throw new StepFailed(
      'There is no Python 3.11 to 3.13 with venv and pip to install SecantusDB for the tests.',
    );
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
  await step('make a Python environment (once)', found, ['-m', 'venv', home]);
  const options = ['--quiet', '--require-hashes', '--only-binary', ':all:', '-r', requirements];
  await step('install SecantusDB (once)', join(home, 'bin/python'), ['-m', 'pip', 'install', ...options]);
  // Written at the end, so that an interrupted installation is repeated.
  writeFileSync(whole, '');
}
