// Builds the MongoDB-compatible server of the tests, once for each state of its sources, where Go is.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { step } from './steps.mjs';

const root = join(import.meta.dirname, '..', '..');
const sources = join(root, 'test/support/ferretdb');
const folder = join(root, '.cache/ferretdb');
const module = 'github.com/FerretDB/FerretDB';

function find(command, more = []) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...more];
  return folders.map((name) => join(name, command)).find((file) => existsSync(file));
}

/** The program that these sources make. test/support/mongo.ts looks for the same name. */
export function ferretdbFile() {
  const hash = createHash('sha256');
  for (const name of readdirSync(sources).sort())
    hash.update(`${name}\0`).update(readFileSync(join(sources, name)));
  return join(folder, `ferretdb-${hash.digest('hex').slice(0, 16)}`);
}

/** Whether there is a server for the tests after this: a given one, one on the PATH, or the one built here. */
export async function ensureMongoServer() {
  if (process.env.MONGODB_URL || find('mongod')) return true;
  const file = ferretdbFile();
  if (existsSync(file)) return true;
  const go = find('go', ['/usr/local/go/bin', '/usr/lib/go/bin']);
  if (go === undefined) return false;
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
  const making = join(folder, `making-${process.pid}`);
  cpSync(sources, making, { recursive: true });
  const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly -trimpath' };
  await step('download FerretDB (once)', go, ['mod', 'download', module], { cwd: making, env });
  patch(go, making, env);
  await step('build FerretDB (once; 1 to 10 minutes)', go, ['build', '-v', '-o', 'server', '.'], {
    cwd: making,
    env,
  });
  // Renamed at the end, so that a build that was interrupted is not taken for a server.
  renameSync(join(making, 'server'), file);
  rmSync(making, { recursive: true });
  return true;
}

/** Puts a copy of the module, changed as patches.json says, in its place. */
function patch(go, making, env) {
  const { Dir } = JSON.parse(execFileSync(go, ['mod', 'download', '-json', module], { cwd: making, env }));
  const copy = join(making, 'patched');
  cpSync(Dir, copy, { recursive: true });
  // The module cache cannot be written, nor can copies of it.
  for (const name of ['.', ...readdirSync(copy, { recursive: true })]) chmodSync(join(copy, name), 0o755);
  for (const { file, from, to } of JSON.parse(readFileSync(join(sources, 'patches.json')))) {
    const path = join(copy, file);
    const parts = readFileSync(path, 'utf8').split(from);
    if (parts.length === 1) throw new Error(`${module}: ${file} has no ${from}`);
    writeFileSync(path, parts.join(to));
  }
  appendFileSync(join(making, 'go.mod'), `\nreplace ${module} => ./patched\n`);
}
