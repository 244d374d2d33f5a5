// npm test: sets the machine up like "npm run up", compiles, and runs mocha. `npm test -- --long` runs the long suites,
// `npm test -- --store mongodb` those that use the API or the port, on that engine, and the engine's own, with
// `--server secantusdb` on a server that has transactions; other arguments are passed to mocha. `npm test -- --prepare`
// sets up all of these and runs nothing, so that several can then run concurrently.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildImage, buildProgram, buildTests } from './setup/build.mjs';
import { runLanes } from './lanes.mjs';
import { ensureMongoServer } from './setup/documentdb.mjs';
import { ensureSecantusDb } from './setup/secantusdb.mjs';
import { checkNode, ensureNpmPackages, ensureSystemPackages } from './setup/machine.mjs';
import { say, StepFailed } from './setup/steps.mjs';

const root = join(import.meta.dirname, '..');
const given = process.argv.slice(2);
const long = given.includes('--long');
const onlyPrepare = given.includes('--prepare');
/** Options of this script, and the only value of each. */
const ours = { '--store': 'mongodb', '--server': 'secantusdb' };
const chosenBy = (name) => {
  const at = given.findIndex((word) => word === name || word.startsWith(`${name}=`));
  if (at < 0) return undefined;
  const [, value = given[at + 1]] = given[at].split('=');
  if (value === ours[name]) return value;
  say(`npm test: ${name} can be ${ours[name]}, not ${value ?? 'nothing'}.`);
  process.exit(1);
};
const onMongo = chosenBy('--store') !== undefined;
const server = chosenBy('--server');
const rest = given.filter(
  (word, at) => !['--long', '--prepare'].includes(word) && !isOurs(word) && !(given[at - 1] in ours),
);
if (onMongo) process.env.COPSE_TEST_STORE = 'mongodb';
if (server !== undefined) process.env.COPSE_TEST_SERVER = server;

function isOurs(word) {
  return word.split('=')[0] in ours;
}

/** Suites with real machines need the emulator; without permission to install it they are skipped, and say so. */
async function prepareMachines() {
  try {
    await ensureSystemPackages();
    await buildImage(join(root, '.cache', 'images'));
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(`\n!!! The suites with real virtual machines will be SKIPPED:\n${error.message}\n`);
  }
}

/** Without a server the suites on MongoDB are skipped, and say so. */
async function prepareMongo(which) {
  try {
    await (which === 'secantusdb' ? ensureSecantusDb() : ensureMongoServer());
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(`\n!!! The suites on MongoDB will be SKIPPED:\n${error.message}\n`);
  }
}

/** Names of test files, such as `route/instance`. */
const tests = () =>
  readdirSync(join(root, 'build', 'test'), { recursive: true })
    .filter((file) => file.endsWith('.test.js'))
    .map((file) => file.slice(0, -'.test.js'.length))
    .sort();

/** The store's own suites on MongoDB take as long as all the others on SQLite: they run with the rest on MongoDB. */
const mongoSuites =
  /^(contract\/answers|contract\/store\/(copying|mongo)|data\/store\/mongo\/.*|process\/store-copy)$/;

/** Tests that use the API or the port; the rest are about SQLite's files, real machines or no store at all. */
const engineSuites = /^((route|task|data|client)\/.*|process\/roles)$/;

/** The files of a whole run. */
function isChosen(name) {
  if (long || name.startsWith('long/')) return long && name.startsWith('long/');
  if (!onMongo) return !mongoSuites.test(name);
  return (engineSuites.test(name) || mongoSuites.test(name)) && !name.startsWith('data/store/sqlite/');
}

/**
 * How a whole run is divided into processes of mocha, of which some run side by side: each group into `parts`. `alone`:
 * one part at a time of all groups with that word. What takes longest comes first.
 */
const division = {
  sqlite: {
    width: 4,
    groups: [
      // One machine at a time, because their tests measure; then tests that compile, which keep a core busy too.
      { of: /^((contract\/)?region\/.*|process\/kill)$/, parts: 2, alone: 'machine' },
      { of: /^process\//, parts: 4 },
      { of: /^(route|task)\/adding-a-/, parts: 1, alone: 'machine' },
      { of: /^route\/pipeline\//, parts: 3 },
      { of: /^route\//, parts: 3 },
      { of: /./, parts: 2 },
    ],
  },
  // Each process starts a server of its own.
  mongodb: {
    width: 3,
    groups: [
      { of: mongoSuites, parts: 1 },
      { of: /^route\/pipeline\//, parts: 2 },
      { of: /^route\//, parts: 2 },
      { of: /./, parts: 1 },
    ],
  },
  long: {
    width: 2,
    groups: [
      // Real machines, which keep the cores busy, and processes that die and wait.
      { of: /^long\/(chaos|many|region-faults|up)$/, parts: 4, alone: 'machine' },
      { of: /./, parts: Infinity },
    ],
  },
}[long ? 'long' : onMongo ? 'mongodb' : 'sqlite'];

/** Slow files, so that no part gets several of them. */
const slow = ['roles', 'data-folder', 'graceful', 'takeover', 'refused-start', 'unreadable', 'shared-store'];

/** Dealt out like cards, the slow ones first. */
function partsOf(files, count) {
  const isSlow = (file) => slow.includes(file.split('/').at(-1));
  const cards = [...files.filter(isSlow), ...files.filter((file) => !isSlow(file))];
  const parts = Array.from({ length: Math.min(count, files.length) }, () => []);
  for (const [index, file] of cards.entries()) parts[index % parts.length].push(file);
  return parts;
}

/** Files of each process, and what it must not run beside. */
function bundles() {
  let left = tests().filter(isChosen);
  return division.groups.flatMap(({ of, parts, alone }) => {
    const mine = left.filter((file) => of.test(file));
    left = left.filter((file) => !of.test(file));
    return partsOf(mine, parts).map((files) => ({ files, alone }));
  });
}

const mocha = [
  join(root, 'node_modules/mocha/bin/mocha.js'),
  ...['--reporter', join(root, 'scripts/reporter.cjs')],
  ...(onMongo ? ['--require', './build/test/support/slow-store.js'] : []),
];

function run(args) {
  const child = spawn(process.execPath, [...mocha, ...args], { cwd: root, stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  return new Promise((done) => child.once('exit', (code, signal) => done(signal === null ? code : 1)));
}

/** What the tests need, each made once. Downloads run in parallel with the packages, which take longest. */
async function prepare() {
  checkNode();
  const servers = async () => {
    if (!onMongo) await prepareMachines();
    await prepareMongo(server);
    if (onlyPrepare) await prepareMongo('secantusdb');
  };
  await Promise.all([ensureNpmPackages(), servers()]);
  await buildProgram();
  await buildTests();
}

/** Runs the selected tests, or all; resolves with the exit code. */
async function runTests() {
  const chosen = rest.some((word) => !word.startsWith('-'));
  if (chosen) return run(rest);
  const all = bundles().map(({ files, alone }) => ({
    args: [...mocha, ...files.map((file) => `build/test/${file}.test.js`), ...rest],
    alone,
  }));
  return runLanes(process.execPath, all, { cwd: root, width: division.width });
}

try {
  await prepare();
  if (!onlyPrepare) process.exitCode = await runTests();
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  say(`\n${error.message}`);
  process.exitCode = 1;
}
