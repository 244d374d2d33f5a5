/** The one command, as a stranger runs it: first with the demo to its end, then again within seconds. */
import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/config.js';
import type { Instance } from '../../src/model/instance.js';
import { checkedClient } from '../support/conform.js';
import {
  adminKey,
  cleanUp,
  emulatorsIn,
  machinesMissing,
  temporaryFolder,
  until,
  untilPower,
} from '../support/process.js';

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

class Up {
  readonly #child;
  readonly exit: Promise<number | null>;
  output = '';

  constructor(dataDir: string, port: number, ...more: string[]) {
    const args = [
      join(packageRoot(), 'scripts', 'up.mjs'),
      '--data-dir',
      dataDir,
      '--port',
      String(port),
      ...more,
    ];
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('COPSE_'));
    this.#child = spawn(process.execPath, args, {
      env: { ...Object.fromEntries(inherited), COPSE_ADMIN_KEY: adminKey },
      cwd: packageRoot(),
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.on('data', (text) => (this.output += String(text)));
    this.exit = new Promise((resolve) => this.#child.once('exit', (code) => resolve(code)));
  }

  untilSaid(words: string, seconds: number): Promise<true> {
    return until(`"${words}" in:\n${this.output}`, seconds, () =>
      this.output.includes(words) ? true : undefined,
    );
  }

  interrupt(): Promise<number | null> {
    this.#child.kill('SIGINT');
    return this.exit;
  }
}

describe('npm run up', function () {
  this.timeout(400_000);
  const missing = machinesMissing();
  if (missing !== undefined) {
    it(`SKIPPED, because ${missing}`);
    return;
  }
  let dataDir: string;
  before(() => {
    dataDir = temporaryFolder();
  });
  after(() => cleanUp(dataDir));

  it('shows the main job on the first run, and on the second serves within seconds with the machines still up', async () => {
    const port = await freePort();
    const first = new Up(dataDir, port);
    await first.untilSaid('Serving. Ctrl-C', 300);
    for (const shown of [
      '/flavors',
      '/images',
      'hello login:',
      'instance.create: succeeded',
      'rel="first"',
      'hello is Stopped',
    ]) {
      expect(first.output).to.contain(shown);
    }
    const client = checkedClient(`http://127.0.0.1:${port}`, adminKey);
    const [hello] = (await client.get<Instance[]>('/api/v2/instances')).body;
    const id = hello?.metadata.id ?? '';
    await client.post(`/api/v2/instances/${id}/start`);
    await untilPower(client, id, 'Running');
    const machines = emulatorsIn(dataDir);
    expect(machines).to.have.length(1);
    expect(await first.interrupt()).to.equal(0);
    expect(emulatorsIn(dataDir)).to.deep.equal(machines);

    const second = new Up(dataDir, port);
    await second.untilSaid('Serving. Ctrl-C', 20);
    expect(second.output).not.to.contain('curl');
    await untilPower(client, id, 'Running');
    expect(emulatorsIn(dataDir)).to.deep.equal(machines);
    expect(await second.interrupt()).to.equal(0);
  });
});
