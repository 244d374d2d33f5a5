/**
 * Folders, files and addresses that startup needs. They are checked before anything is written, so that a failed start
 * leaves nothing behind.
 */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { type Config, ConfigError } from '../config.js';

type Role = 'all' | 'api' | 'worker';

const { R_OK, W_OK, X_OK } = constants;

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

/** Why the folder cannot be used or created; undefined if it can. */
function folderFault(folder: string, mode: number): string | undefined {
  try {
    if (!statSync(folder).isDirectory()) return `${folder} is not a folder`;
    accessSync(folder, mode);
    return undefined;
  } catch (error) {
    return `${folder} cannot be used by this user (${codeOf(error)})`;
  }
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    // If it cannot be examined, assume that it exists.
    return codeOf(error) !== 'ENOENT';
  }
}

/** For a folder that will be created: checks the closest existing parent. */
function creatableFault(folder: string): string | undefined {
  let at = folder;
  while (!exists(at) && dirname(at) !== at) at = dirname(at);
  return folderFault(at, at === folder ? R_OK | W_OK | X_OK : W_OK | X_OK);
}

/**
 * Creates the data folder and its missing parents. Node's recursive mkdir never returns where the system refuses to
 * create folders.
 */
export function makeDataDir(config: Config): string {
  const dataDir = resolve(config.dataDir);
  const missing: string[] = [];
  for (let at = dataDir; !exists(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) {
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      // Another process may be starting at the same time.
      if (codeOf(error) !== 'EEXIST')
        throw new ConfigError(`dataDir: ${folder} cannot be created (${codeOf(error)})`, { cause: error });
    }
  }
  return dataDir;
}

/** For a file that is created if missing, unlike its folder. `made` is the data folder. */
function fileFault(file: string, made: string): string | undefined {
  const folder = dirname(file);
  if (!exists(file)) return folder === made ? undefined : folderFault(folder, W_OK | X_OK);
  try {
    return statSync(file).isFile() ? undefined : `${file} is not a file`;
  } catch (error) {
    return `${file} cannot be used by this user (${codeOf(error)})`;
  }
}

/** Checks that the address can be listened on. */
function listenFault(host: string, port: number): Promise<string | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', (error) => done(error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => done(undefined)));
  });
}

function drivesLocally({ regions }: Config): boolean {
  return regions.some((region) => region === 'local' || region.endsWith('=local'));
}

/** Rejects with a ConfigError that names every option at fault. `storeFile` is the file of a SQLite store. */
export async function checkPlaces(config: Config, role: Role, storeFile: string | undefined): Promise<void> {
  const { server, worker, local } = config;
  const dataDir = resolve(config.dataDir);
  // Opening an existing database already reports why it cannot be written, without changing it.
  const made = storeFile === undefined || !exists(storeFile) || !exists(dataDir);
  const faults: [string, string | undefined][] = [
    ['dataDir', made ? creatableFault(dataDir) : folderFault(dataDir, R_OK | X_OK)],
  ];
  if (faults[0]?.[1] === undefined) {
    if (role !== 'worker') faults.push(['dataDir', fileFault(join(dataDir, 'admin.key'), dataDir)]);
    if (storeFile !== undefined) faults.push(['store', fileFault(storeFile, dataDir)]);
  }
  if (role !== 'api' && local.imageDir !== '' && drivesLocally(config))
    faults.push(['local.imageDir', folderFault(resolve(local.imageDir), R_OK | X_OK)]);
  if (role !== 'worker')
    faults.push(['server.host, server.port', await listenFault(server.host, server.port)]);
  if (role === 'worker' || worker.listen)
    faults.push(['worker.host, worker.port', await listenFault(worker.host, worker.port)]);
  const lines = faults.flatMap(([key, fault]) => (fault === undefined ? [] : [`${key}: ${fault}`]));
  if (lines.length > 0) throw new ConfigError(lines.join('\n'));
}
