/** The real program as a separate process: started, called over HTTP, killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../src/client/client.js';
import { type Config, packageRoot, variableOf } from '../../src/config.js';
import type { Flavor } from '../../src/model/flavor.js';
import type { Image } from '../../src/model/image.js';
import type { Instance } from '../../src/model/instance.js';
import type { Project } from '../../src/model/project.js';
import type { Region } from '../../src/model/region.js';
import { checkedClient, learnDocument } from './conform.js';

export const adminKey = 'test-key-0123456789-0123456789-0123456789';

/** Compiled with the tests: the output of `npm run build` or `npm run up` in dist may be older. */
export const mainFile = join(import.meta.dirname, '..', '..', 'src', 'main.js');

/** Where `npm test` puts the guest image. */
export const imageDir = process.env['COPSE_TEST_IMAGE_DIR'] ?? join(packageRoot(), '.cache', 'images');

/** What the suites with real machines lack, or undefined. */
export function machinesMissing(): string | undefined {
  const path = (process.env['PATH'] ?? '').split(':');
  const found = path.some(
    (folder) => safely(() => readdirSync(folder).includes('qemu-system-x86_64')) ?? false,
  );
  if (!found) return 'qemu-system-x86_64 is not installed (package qemu-system-x86)';
  const images = safely(() => readdirSync(imageDir).filter((name) => name.startsWith('tiny-'))) ?? [];
  return images.length === 0 ? `no guest image in ${imageDir} (npm test makes it)` : undefined;
}

function safely<R>(act: () => R): R | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'copse-test-'));
}

export interface ServerOptions {
  /** Default: serve. */
  command?: 'serve' | 'worker';
  /** The program. Default: the one compiled with the tests. */
  main?: string;
  dataDir: string;
  args?: string[];
  environment?: Record<string, string>;
  /** Where standard output and standard error go, instead of to the test. */
  output?: number;
}

/** Some of the options, structured like the configuration. */
export type Options = Partial<{
  [K in keyof Config]: Config[K] extends string | unknown[] ? Config[K] : Partial<Config[K]>;
}>;

/** Options as environment variables: a name that is not an option does not compile. */
export function environmentOf(options: Options): Record<string, string> {
  return Object.fromEntries(
    Object.entries(options).flatMap(([key, value]): [string, string][] =>
      typeof value === 'object' && !Array.isArray(value)
        ? Object.entries(value).map(([below, one]) => [variableOf([key, below]), String(one)])
        : [[variableOf([key]), String(value)]],
    ),
  );
}

export interface LogLine {
  msg: string;
  [key: string]: unknown;
}

export class ServerProcess {
  readonly child: ChildProcess;
  readonly log: LogLine[] = [];
  readonly exit: Promise<number | string>;
  stderr = '';
  readonly #command: 'serve' | 'worker';
  #url = '';

  constructor({
    command = 'serve',
    main = mainFile,
    dataDir,
    args = [],
    environment = {},
    output,
  }: ServerOptions) {
    this.#command = command;
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('COPSE_'));
    this.child = spawn(
      process.execPath,
      ['--heap-growing-percent=50', main, command, '--port', '0', '--data-dir', dataDir, ...args],
      {
        stdio: ['ignore', output ?? 'pipe', output ?? 'pipe'],
        env: { ...Object.fromEntries(inherited), COPSE_ADMIN_KEY: adminKey, ...environment },
      },
    );
    this.child.stderr?.on('data', (chunk) => (this.stderr += String(chunk)));
    this.exit = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => resolve(signal ?? code ?? 0));
    });
  }

  /** Resolves when the program reports that it listens; rejects if it ends before that. */
  async listening(): Promise<this> {
    const { stdout } = this.child;
    if (stdout === null) throw new Error('no standard output');
    const listening = new Promise<string>((resolve) => {
      createInterface({ input: stdout }).on('line', (line) => {
        const entry = JSON.parse(line) as LogLine;
        this.log.push(entry);
        if (entry.msg === 'listening') resolve(String(entry['url']));
      });
    });
    const ended = this.exit.then((code) => {
      throw new Error(`the server ended with ${code}: ${this.stderr}`);
    });
    this.#url = await Promise.race([listening, ended]);
    // Now, because a draining server could not serve it any more. A worker does not serve the API.
    if (this.#command === 'serve') await Promise.race([learnDocument(this.#url), ended]);
    return this;
  }

  /** The same for a server whose log cannot be read: it listens on a given port. */
  async answering(url: string): Promise<this> {
    this.#url = url;
    const ready = until('the server to be ready', 60, () =>
      learnDocument(url).then(
        () => true,
        () => undefined,
      ),
    );
    const ended = this.exit.then((code) => {
      throw new Error(`the server ended with ${code}`);
    });
    await Promise.race([ready, ended]);
    return this;
  }

  get url(): string {
    return this.#url;
  }

  get client(): Client {
    return checkedClient(this.#url, adminKey);
  }

  async kill(signal: NodeJS.Signals): Promise<number | string> {
    this.child.kill(signal);
    return this.exit;
  }
}

export function startServer(options: ServerOptions): Promise<ServerProcess> {
  return new ServerProcess(options).listening();
}

export interface Offer {
  regionId: string;
  flavorId: string;
  imageId: string;
}

/** The region, its smallest flavor and an image for it. */
export async function offerOf(client: Client, image?: string): Promise<Offer> {
  const [project] = (await client.get<Project[]>('/api/v2/projects')).body;
  const catalog = `/api/v1/organizations/${project?.metadata.organizationId ?? ''}/regions`;
  const [region] = (await client.get<Region[]>(catalog)).body;
  const regionId = region?.metadata.id ?? '';
  const [flavor] = (await client.get<Flavor[]>(`${catalog}/${regionId}/flavors`)).body;
  const images = (await client.get<Image[]>(`${catalog}/${regionId}/images`)).body;
  const chosen = images.find(({ metadata }) => image === undefined || metadata.name === image);
  return { regionId, flavorId: flavor?.metadata.id ?? '', imageId: chosen?.metadata.id ?? '' };
}

export async function createInstance(client: Client, name: string, offer: Offer): Promise<Instance> {
  return (await client.post<Instance>('/api/v2/instances', { metadata: { name }, spec: offer })).body;
}

/** Polls until the result is not undefined; fails after the deadline with what was awaited. */
export async function until<R>(
  what: string,
  seconds: number,
  ask: () => Promise<R | undefined> | R | undefined,
): Promise<R> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for: ${what}`);
    await sleep(50);
  }
}

export async function untilPower(
  client: Client,
  id: string,
  state: string,
  seconds = 120,
): Promise<Instance> {
  return until(`${id} to be ${state}`, seconds, async () => {
    const { body } = await client.get<Instance>(`/api/v2/instances/${id}`);
    return body.status.powerState === state && body.status.taskId === undefined ? body : undefined;
  });
}

export async function untilGone(client: Client, id: string, seconds = 60): Promise<void> {
  await until(`${id} to be gone`, seconds, async () => {
    const { body } = await client.get<Instance[]>('/api/v2/instances?limit=1000');
    return body.every(({ metadata }) => metadata.id !== id) ? true : undefined;
  });
}

/** Process ids of living emulators that work in a folder below this one. */
export function emulatorsIn(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const inside = safely(() => readlinkSync(`/proc/${pid}/cwd`))?.startsWith(folder) ?? false;
      return (
        inside && (safely(() => readFileSync(`/proc/${pid}/comm`, 'utf8')) ?? '').startsWith('qemu-system')
      );
    })
    .map(Number);
}

/** Ends every emulator below the folder and removes the folder: a suite must leave nothing behind. */
export async function cleanUp(folder: string): Promise<void> {
  for (const pid of emulatorsIn(folder)) safely(() => process.kill(pid, 'SIGKILL'));
  await until('emulators to end', 20, () => (emulatorsIn(folder).length === 0 ? true : undefined));
  rmSync(folder, { recursive: true, force: true });
}
