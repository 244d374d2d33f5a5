// npm test: sets the machine up like "npm run up", compiles, and runs mocha. `npm test -- --long` runs the long suites,
// `npm test -- --store mongodb` those that ask through the API or the port, on that engine, and the engine's own, with
// `--server secantusdb` on a server that has transactions; other arguments go to mocha.
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
/** Our own options, and the one value that each can have. */
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
const rest = given.filter((word, at) => word !== '--long' && !isOurs(word) && !(given[at - 1] in ours));
if (onMongo) process.env.COPSE_TEST_STORE = 'mongodb';
if (server !== undefined) process.env.COPSE_TEST_SERVER = server;

function isOurs(word) {
  return word.split('=')[0] in ours;
}

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

/** Without a server the suites on MongoDB are skipped, and say so. */
async function prepareMongo() {
  try {
    await (server === 'secantusdb' ? ensureSecantusDb() : ensureMongoServer());
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

/** What goes through the API or the port; the rest is about SQLite's files, real machines or no store at all. */
const engineSuites = filesOf(['route/**/*', 'task/**/*', 'data/**/*', 'client/**/*', 'process/roles']);

/** What runs side by side: each lane takes these of all, and one more what none of them takes. */
const lanes = onMongo
  ? [[...mongoSuites, ...filesOf(['data/**/*'])]]
  : [
      // One machine at a time, as their tests measure; then what compiles, which keeps a core busy as they do.
      filesOf(['{region,contract/region}/**/*', 'process/kill', '{route,task}/adding-a-*']),
      filesOf(['process/!(kill)']),
    ];

const spec = (files) => files.flatMap((file) => ['--spec', file]);
const ignore = (files) => files.flatMap((file) => ['--ignore', file]);

/** Arguments of mocha for each process of the whole run. Kills and chaos take the machine for themselves. */
function suites() {
  if (long) return [spec(filesOf(['long/**/*']))];
  const all = onMongo ? [...engineSuites, ...mongoSuites] : filesOf(['**/*']);
  const never = onMongo ? filesOf(['data/store/sqlite/**/*']) : [...filesOf(['long/**/*']), ...mongoSuites];
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

try {
  checkNode();
  await ensureNpmPackages();
  if (!onMongo) await prepareMachines();
  await prepareMongo();
  await buildProgram();
  await buildTests();
  const chosen = rest.some((word) => !word.startsWith('-'));
  const all = chosen ? [[]] : suites();
  process.exitCode =
    all.length === 1
      ? await run([...all[0], ...rest])
      : await runLanes(
          process.execPath,
          all.map((args) => [...mocha, ...args, ...rest]),
          { cwd: root },
        );
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  say(`\n${error.message}`);
  process.exitCode = 1;
}
