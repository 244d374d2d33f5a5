// Compiles the program and builds the guest image; both only if their inputs changed.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { step } from './steps.mjs';

const root = join(import.meta.dirname, '..', '..');
const compiler = join(root, 'node_modules/typescript-native/bin/tsc');
const bundler = join(import.meta.dirname, 'bundle.mjs');

function fingerprint(paths) {
  const hash = createHash('sha256');
  const add = (path) => {
    const about = statSync(path);
    if (about.isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name));
    else hash.update(`${path}\0${about.size}\0${about.mtimeMs}\n`);
  };
  for (const path of paths) if (existsSync(join(root, path))) add(join(root, path));
  return hash.digest('hex');
}

/** `program`: the folder of main.js. `clean`: also removes compiled output of deleted files. */
async function compile(project, folder, inputs, program, { clean = false } = {}) {
  const stamp = join(root, folder, '.inputs');
  const now = fingerprint([...inputs, 'tsconfig.json', project, 'package-lock.json']);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return;
  if (clean) rmSync(join(root, folder), { recursive: true, force: true });
  await step(`compile ${inputs.join(', ')}`, process.execPath, [compiler, '-p', project], { cwd: root });
  await step(`bundle ${program}`, process.execPath, [bundler, program], { cwd: root });
  writeFileSync(stamp, now);
}

export async function buildProgram() {
  await compile('tsconfig.build.json', 'dist', ['src'], 'dist');
}

export async function buildTests() {
  await compile('tsconfig.test.json', 'build', ['src', 'test', 'bench'], 'build/src', { clean: true });
}

/** Builds the tiny guest image in the folder, from Debian packages cached in .cache/debs. */
export async function buildImage(folder) {
  mkdirSync(folder, { recursive: true });
  const cache = join(root, '.cache', 'debs');
  mkdirSync(cache, { recursive: true });
  await step('make the guest image', 'bash', [join(root, 'scripts/image/build-tiny.sh'), folder, cache], {
    cwd: root,
  });
}
