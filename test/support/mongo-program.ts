/** The programs that can be the database server of the tests. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { packageRoot } from '../../src/config.js';

export interface MongoProgram {
  file: string;
  args: (folder: string, port: number) => string[];
  /** Settings that make each write wait for the disk, if it does not by default. */
  durable?: string[];
  /** It must be made a replica set with this name, of which it is the only member. */
  replicaSet?: string;
  /**
   * There is a database behind it that can become unavailable while it stays: PostgreSQL, whose pid is in this file of
   * its folder.
   */
  behind?: string;
}

const support = join(packageRoot(), 'test/support');
const cache = join(packageRoot(), '.cache');

function digestOf(contents: (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const content of contents) hash.update(content);
  return hash.digest('hex').slice(0, 16);
}

function mongod(): MongoProgram | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const file = folders.map((folder) => join(folder, 'mongod')).find((one) => existsSync(one));
  if (file === undefined) return undefined;
  // It has transactions only as a member of a replica set.
  const replicaSet = 'copse-test';
  const options = ['--bind_ip', '127.0.0.1', '--quiet', '--replSet', replicaSet];
  return {
    file,
    args: (folder, port) => ['--dbpath', folder, '--port', String(port), ...options],
    replicaSet,
  };
}

/** FerretDB 2 in front of PostgreSQL, under the names used by scripts/setup/documentdb.mjs. */
function documentdb(): MongoProgram | undefined {
  const made = (name: string, files: string[]) => {
    const contents = files.map((file) => readFileSync(join(support, 'documentdb', file)));
    return join(cache, 'documentdb', `${name}-${digestOf(contents)}`);
  };
  const file = made('gateway', ['go.mod', 'go.sum', 'main.go']);
  const prefix = made('postgres', ['postgres.sh']);
  if (!existsSync(file) || !existsSync(prefix)) return undefined;
  return {
    file,
    args: (folder, port) => ['-prefix', prefix, '-folder', folder, '-listen', `127.0.0.1:${port}`],
    durable: ['-durable'],
    behind: 'pg/postmaster.pid',
  };
}

/** Where scripts/setup/secantusdb.mjs installs these requirements. */
function secantusdb(): MongoProgram | undefined {
  const sources = join(support, 'secantusdb');
  const home = join(cache, 'secantusdb', digestOf([readFileSync(join(sources, 'requirements.txt'))]));
  if (!existsSync(join(home, 'whole'))) return undefined;
  const options = ['--host', '127.0.0.1', '--log-level', 'ERROR', '--sync-on-commit'];
  return {
    file: join(home, 'bin/python'),
    args: (folder, port) => [
      join(sources, 'server.py'),
      ...['--storage-path', folder, '--port', String(port)],
      ...options,
    ],
  };
}

const programs = { secantusdb, documentdb };

export type ProgramName = keyof typeof programs;

/** The server chosen for this run: `npm test -- --server NAME`. */
export const asked: string | undefined = process.env['COPSE_TEST_SERVER'];

/** The given one, or the one chosen for this run; otherwise a `mongod` on the PATH, or DocumentDB. */
export function mongoProgram(name = asked): MongoProgram | undefined {
  if (name === undefined) return mongod() ?? documentdb();
  if (!Object.hasOwn(programs, name)) throw new Error(`There is no database server ${name} for the tests`);
  return programs[name as ProgramName]();
}
