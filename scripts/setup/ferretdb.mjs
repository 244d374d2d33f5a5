// Builds the MongoDB-compatible server of the tests, once for each state of its sources, where Go is.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { step } from './steps.mjs';

const root = join(import.meta.dirname, '..', '..');
const sources = join(root, 'test/support/ferretdb');
const folder = join(root, '.cache/ferretdb');

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
  // Renamed at the end, so that a build that was interrupted is not taken for a server.
  const making = join(folder, `making-${process.pid}`);
  const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly -trimpath' };
  await step('build FerretDB (once; 1 to 10 minutes)', go, ['build', '-v', '-o', making, '.'], {
    cwd: sources,
    env,
  });
  renameSync(making, file);
  return true;
}
