/** One local region in a temporary folder, with what the tests of its details need. `close` ends all of it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { LocalRegion, type LocalRegionOptions } from '../../src/region/local/index.js';
import type { ServerRequest } from '../../src/region/provider.js';
import type { ChildRequest } from './region-child.js';
import { cleanUp, localOptions, patient, principal, processesIn, scratchFolder, waitFor } from './region.js';

export class RegionBench {
  readonly folder = scratchFolder('bench');
  readonly dataDir = join(this.folder, 'region');
  region: LocalRegion;
  readonly #change: Partial<LocalRegionOptions>;
  readonly #children: ChildProcess[] = [];

  constructor(change: Partial<LocalRegionOptions> = {}) {
    this.#change = change;
    this.region = this.make();
  }

  options(change: Partial<LocalRegionOptions> = {}): LocalRegionOptions {
    return localOptions(this.dataDir, { ...this.#change, ...change });
  }

  make(change: Partial<LocalRegionOptions> = {}): LocalRegion {
    return new LocalRegion(this.options(change));
  }

  async open(change: Partial<LocalRegionOptions> = {}): Promise<void> {
    await this.region.close();
    this.region = this.make(change);
    await this.region.open();
  }

  async close(): Promise<void> {
    await this.region.close();
    for (const child of this.#children) child.kill('SIGKILL');
    await cleanUp(this.folder);
  }

  async request(userData?: string): Promise<ServerRequest> {
    const flavor = (await this.region.listFlavors(principal, patient())).find(
      ({ metadata }) => metadata.name === 'tiny',
    );
    const image = (await this.region.listImages(principal, patient()))[0];
    if (flavor === undefined || image === undefined) throw new Error('the catalog is empty');
    const request: ServerRequest = {
      id: randomUUID(),
      hostname: 'bench',
      flavorId: flavor.metadata.id,
      imageId: image.metadata.id,
      tags: [],
    };
    if (userData !== undefined) request.userData = Buffer.from(userData);
    return request;
  }

  async ensure(userData?: string): Promise<string> {
    const request = await this.request(userData);
    await this.region.ensureServer(request, patient());
    return request.id;
  }

  async stateOf(id: string): Promise<string | undefined> {
    return (await this.region.describeServers([id], patient()))[0]?.powerState;
  }

  async messageOf(id: string): Promise<string | undefined> {
    return (await this.region.describeServers([id], patient()))[0]?.message;
  }

  async waitState(id: string, powerState: string): Promise<void> {
    await waitFor(`it is ${powerState}`, async () => (await this.stateOf(id)) === powerState);
  }

  async console(id: string): Promise<string> {
    return (await this.region.consoleOutput(id, {}, patient())).contents;
  }

  async waitConsole(id: string, text: string, times = 1): Promise<void> {
    const seen = async (): Promise<boolean> => (await this.console(id)).split(text).length - 1 >= times;
    await waitFor(`the console says ${text} (${times})`, seen);
  }

  serverFolder(id: string): string {
    return join(this.dataDir, 'servers', id);
  }

  /** Pids of the machines of one server, by working directory: independent of the region's state. */
  machines(id: string): number[] {
    return processesIn(this.serverFolder(id));
  }

  record(id: string): Record<string, unknown> {
    const path = join(this.serverFolder(id), 'state.json');
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>) : {};
  }

  /** An emulator that runs `script` before it becomes the real one, except when asked for its version. */
  wrapper(script: string): string {
    const path = join(this.folder, `emulator-${randomUUID()}`);
    const lines = [
      '#!/bin/sh',
      'PATH=/usr/local/bin:/usr/bin:/bin',
      '[ "$1" = --version ] && exec qemu-system-x86_64 --version',
      script,
      'exec qemu-system-x86_64 "$@"',
    ];
    writeFileSync(path, `${lines.join('\n')}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  /** A separate server process on this region's folder. `lines`: its output so far. */
  spawnServer(
    requests: ServerRequest[],
    change: Partial<LocalRegionOptions> = {},
  ): { child: ChildProcess; lines: string[]; ended: Promise<unknown> } {
    const { log: _, ...options } = this.options(change);
    const plain = requests.map(({ userData, ...request }): ChildRequest =>
      userData === undefined ? request : { ...request, userData: userData.toString() },
    );
    const script = join(import.meta.dirname, 'region-child.js');
    const child = spawn(process.execPath, [script, JSON.stringify(options), JSON.stringify(plain)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    return { child, lines, ended: once(child, 'exit') };
  }
}
