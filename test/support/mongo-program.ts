/** The programs that can be the database server of the tests. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { packageRoot } from '../../src/config.js';

export interface MongoProgram {
  file: string;
  args: (folder: string, port: number) => string[];
  /** It is to be made a replica set of this name, of which it is the only member. */
  replicaSet?: string;
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

/** Under the name that scripts/setup/ferretdb.mjs gives to what it builds of these sources. */
function ferretdb(): MongoProgram | undefined {
  const sources = join(support, 'ferretdb');
  const contents = readdirSync(sources)
    .sort()
    .flatMap((name) => [`${name}\0`, readFileSync(join(sources, name))]);
  const file = join(cache, 'ferretdb', `ferretdb-${digestOf(contents)}`);
  if (!existsSync(file)) return undefined;
  return { file, args: (folder, port) => ['-folder', folder, '-listen', `127.0.0.1:${port}`] };
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

const programs = { secantusdb, ferretdb };

export type ProgramName = keyof typeof programs;

/** The server that this run was asked to take: `npm test -- --server NAME`. */
export const asked: string | undefined = process.env['COPSE_TEST_SERVER'];

/** The one that is named, or that this run was asked to take; else a `mongod` of the PATH, or FerretDB. */
export function mongoProgram(name = asked): MongoProgram | undefined {
  if (name === undefined) return mongod() ?? ferretdb();
  if (!Object.hasOwn(programs, name)) throw new Error(`There is no database server ${name} for the tests`);
  return programs[name as ProgramName]();
}
