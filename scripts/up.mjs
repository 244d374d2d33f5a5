// One command from a fresh checkout to a running server: installs what is missing, builds, serves, and on the first run
// shows a demo. Plain JavaScript without packages, because it runs before they are installed.
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildImage, buildProgram } from './setup/build.mjs';
import { checkNode, ensureNpmPackages, ensureSystemPackages } from './setup/machine.mjs';
import { say, StepFailed } from './setup/steps.mjs';

const root = join(import.meta.dirname, '..');
const main = join(root, 'dist', 'main.js');

const help = `npm run up -- [options]

Installs what is missing, builds, serves on 127.0.0.1:8080 and, on the first run,
shows a demo with real calls. Ctrl-C stops the server; the virtual machines
keep running and are found again at the next start.

  --no-demo          only serve
  --port NUMBER      port to listen on (8080; 0 picks a free one)
  --data-dir FOLDER  folder for everything that must survive (data)
  --config FILE      options that override config/default.yaml
  --region NAME      local (QEMU, the default) or simulated (no machines)
  --help             this text
`;

const { values: flags } = parseArgs({
  options: {
    'no-demo': { type: 'boolean', default: false },
    port: { type: 'string' },
    'data-dir': { type: 'string', default: process.env.COPSE_DATA_DIR ?? 'data' },
    config: { type: 'string' },
    region: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

async function prepare(dataDir) {
  checkNode();
  if (flags.region !== 'simulated') await ensureSystemPackages();
  await ensureNpmPackages();
  await buildProgram();
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (flags.region !== 'simulated')
    await buildImage(process.env.COPSE_LOCAL_IMAGE_DIR ?? join(dataDir, 'images'));
}

/** Starts the server with its log in a file; resolves with its address once it listens. */
function serve(dataDir) {
  const logFile = join(dataDir, 'server.log');
  const from = existsSync(logFile) ? statSync(logFile).size : 0;
  const log = openSync(logFile, 'a', 0o600);
  const args = ['--heap-growing-percent=50', main, 'serve', '--data-dir', dataDir];
  for (const name of ['port', 'config', 'region'])
    if (flags[name] !== undefined) args.push(`--${name}`, flags[name]);
  const child = spawn(process.execPath, args, { stdio: ['ignore', log, 'inherit'] });
  closeSync(log);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  const ended = new Promise((done) => child.once('exit', (code, signal) => done(signal === null ? code : 1)));
  const listening = new Promise((done, fail) => {
    const check = () => {
      const lines = readFileSync(logFile).subarray(from).toString().split('\n');
      const line = lines.find((text) => text.includes('"msg":"listening"'));
      if (line === undefined) return;
      watcher.close();
      clearInterval(timer);
      done(JSON.parse(line).url);
    };
    const watcher = watch(logFile, check);
    const timer = setInterval(check, 500);
    void ended.then((code) => {
      watcher.close();
      clearInterval(timer);
      fail(new StepFailed(`The server ended with ${code} before it listened; its log is ${logFile}.`));
    });
  });
  return { listening, ended, logFile };
}

async function showDemo(url, dataDir) {
  const marker = join(dataDir, 'demo-shown');
  if (flags['no-demo'] || existsSync(marker)) return;
  const args = [main, 'demo', '--url', url, '--key-file', join(relative('', dataDir), 'admin.key')];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  process.once('exit', () => child.kill());
  const code = await new Promise((done) => child.once('exit', done));
  if (code === 0) writeFileSync(marker, '');
  else say('\nThe demo did not complete; the server keeps running.');
}

async function up() {
  const started = Date.now();
  const dataDir = resolve(flags['data-dir']);
  say('Copse: preparing');
  await prepare(dataDir);
  const server = serve(dataDir);
  const slow = setTimeout(
    () => say('  starting (the first start tests whether KVM works, which takes up to ten seconds) …'),
    2000,
  );
  const url = await server.listening.finally(() => clearTimeout(slow));
  say(`\nCopse listens on ${url}  (after ${((Date.now() - started) / 1000).toFixed(1)} s)`);
  say(`  reference:  ${url}/docs`);
  say(`  API key:    ${join(dataDir, 'admin.key')}`);
  say(`  log:        ${server.logFile}`);
  await Promise.race([showDemo(url, dataDir), server.ended]);
  say('\nServing. Ctrl-C stops the server; the virtual machines keep running.');
  process.exitCode = await server.ended;
  say('\nStopped. "npm run up" starts again with everything as it is.');
}

if (flags.help) say(help);
else {
  try {
    await up();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(`\n${error.message}`);
    process.exit(1);
  }
}
