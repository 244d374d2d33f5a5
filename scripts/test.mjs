// npm test: sets the machine up like "npm run up", compiles, and runs mocha. `npm test -- --long` runs the long suites,
// `npm test -- --store mongodb` those that use the API or the port, on that engine, and the engine's own, with
// `--server secantusdb` on a server that has transactions; other arguments are passed to mocha. `npm test -- --prepare`
// sets up all of these and runs nothing, so that several can then run concurrently.
import { spawn } from 'node:child_process';
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

const filesOf = (names) => names.map((name) => `build/test/${name}.test.js`);

/** The store's own suites on MongoDB take as long as all the others on SQLite: they run with the rest on MongoDB. */
const mongoSuites = filesOf([
  'contract/answers',
  'contract/store/copying',
  'contract/store/mongo',
  'data/store/mongo/**/*',
  'process/store-copy',
]);

/** Tests that use the API or the port; the rest are about SQLite's files, real machines or no store at all. */
const engineSuites = filesOf(['route/**/*', 'task/**/*', 'data/**/*', 'client/**/*', 'process/roles']);

/** The concurrent lanes: each takes these files, and one more lane takes the rest. */
const lanes = {
  sqlite: [
    // One machine at a time, because their tests measure; then tests that compile, which keep a core busy too.
    filesOf(['{region,contract/region}/**/*', 'process/kill', '{route,task}/adding-a-*']),
    filesOf(['process/!(kill)']),
    filesOf(['route/!(pipeline|adding-a-*)', 'task/!(adding-a-*)']),
  ],
  mongodb: [[...mongoSuites, ...filesOf(['data/**/*'])], filesOf(['route/pipeline/**/*'])],
  // Real machines, which keep the cores busy, and processes that die and wait.
  long: [filesOf(['long/chaos', 'long/many', 'long/region-faults', 'long/up'])],
}[long ? 'long' : onMongo ? 'mongodb' : 'sqlite'];

const spec = (files) => files.flatMap((file) => ['--spec', file]);
const ignore = (files) => files.flatMap((file) => ['--ignore', file]);

/** All files of the run, and those matched by their patterns that do not belong to it. */
function chosenFiles() {
  if (long) return { all: filesOf(['long/**/*']), never: [] };
  if (onMongo) return { all: [...engineSuites, ...mongoSuites], never: filesOf(['data/store/sqlite/**/*']) };
  return { all: filesOf(['**/*']), never: [...filesOf(['long/**/*']), ...mongoSuites] };
}

/** Arguments of mocha for each process of the whole run. */
function suites() {
  const { all, never } = chosenFiles();
  return [
    ...lanes.map((files) => [...spec(files), ...ignore(never)]),
    [...spec(all), ...ignore([...never, ...lanes.flat()])],
  ];
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
  const all = suites().map((args) => [...mocha, ...args, ...rest]);
  return runLanes(process.execPath, all, { cwd: root });
}

try {
  await prepare();
  if (!onlyPrepare) process.exitCode = await runTests();
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  say(`\n${error.message}`);
  process.exitCode = 1;
}
