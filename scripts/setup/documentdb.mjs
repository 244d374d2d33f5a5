// Builds the MongoDB-compatible server of the tests, once per state of its sources: PostgreSQL with the DocumentDB
// extension from Debian's packages, and FerretDB 2 in front of it from Go's module proxy.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { step, StepFailed } from './steps.mjs';

const root = join(import.meta.dirname, '..', '..');
const sources = join(root, 'test/support/documentdb');
const folder = join(root, '.cache/documentdb');

function find(command, more = []) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...more];
  return folders.map((name) => join(name, command)).find((file) => existsSync(file));
}

/** The output of these sources. test/support/mongo-program.ts uses the same name. */
function made(name, files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(sources, file)));
  return join(folder, `${name}-${hash.digest('hex').slice(0, 16)}`);
}

/** Removes the output of other states of the sources. */
function removeOthers(name, kept) {
  for (const other of readdirSync(folder))
    if (other.startsWith(`${name}-`) && !other.startsWith(basename(kept)))
      rmSync(join(folder, other), { recursive: true, force: true });
}

async function ensurePostgres() {
  const home = made('postgres', ['postgres.sh']);
  if (existsSync(home)) return;
  if (process.platform !== 'linux' || find('apt-get') === undefined)
    throw new StepFailed(
      'PostgreSQL with DocumentDB for the tests is made of Debian packages, which needs apt.',
    );
  const script = join(sources, 'postgres.sh');
  await step('install PostgreSQL with DocumentDB (once; 140 MB)', 'bash', [script, home]);
  removeOthers('postgres', home);
}

async function ensureGateway() {
  const file = made('gateway', ['go.mod', 'go.sum', 'main.go']);
  if (existsSync(file)) return;
  const go = find('go', ['/usr/local/go/bin', '/usr/lib/go/bin']);
  if (go === undefined) throw new StepFailed('There is no Go to build FerretDB for the tests.');
  // Renamed at the end, so that an interrupted build is not mistaken for a server.
  const making = `${file}.${process.pid}`;
  const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly -trimpath' };
  const build = ['build', '-v', '-o', making, '.'];
  await step('build FerretDB 2 (once; 1 to 10 minutes)', go, build, { cwd: sources, env });
  renameSync(making, file);
  removeOthers('gateway', file);
}

/** Resolves when there is a server for the tests: a given one, one on the PATH, or the one built here. */
export async function ensureMongoServer() {
  if (process.env.MONGODB_URL || find('mongod')) return;
  await ensureDocumentDb();
}

export async function ensureDocumentDb() {
  mkdirSync(folder, { recursive: true });
  await ensureGateway();
  await ensurePostgres();
}
