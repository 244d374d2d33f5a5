/** Log, metrics and traces may lose lines, never the service: each channel, and each way in which it fails. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { checkedFetch } from '../support/conform.js';
import { counterIn, flood } from '../support/flood.js';
import {
  cleanUp,
  type LogLine,
  ServerProcess,
  startServer,
  temporaryFolder,
  until,
} from '../support/process.js';

const simulated = ['--region', 'simulated'];

/** Requests whose lines are more than what is kept of a log that cannot be written. */
const many = 4000;

const fault = pathToFileURL(join(import.meta.dirname, '..', 'support', 'log-fault.js')).href;

const metrics = async (url: string) => (await checkedFetch(`${url}/metrics`)).text();

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('a log that cannot be written', function () {
  this.timeout(180_000);
  let dataDir: string;
  const started: ServerProcess[] = [];
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(async () => {
    for (const server of started.splice(0)) await server.kill('SIGKILL');
    await cleanUp(dataDir);
  });

  const requests = (lines: readonly LogLine[]) =>
    lines.filter(({ route }) => route === '/health' || route === '/metrics').length;
  const told = (lines: readonly LogLine[]) => lines.filter(({ msg }) => msg === 'log lines were lost');
  const lost = (lines: readonly LogLine[]) =>
    told(lines).reduce((sum, line) => sum + Number(line['lost']), 0);

  it('loses lines, is counted and told later, and every request is answered, whatever the error', async () => {
    const file = join(dataDir, 'fault');
    const environment = { NODE_OPTIONS: `--import=${fault}`, COPSE_TEST_LOG_FAULT: file };
    const server = await startServer({ dataDir, args: simulated, environment });
    started.push(server);
    const { url, log } = server;
    const faults = ['ENOSPC', 'ENOSPC 100', 'EIO', 'EPIPE', 'EAGAIN', 'EAGAIN 10', 'EDQUOT', 'EFBIG'];
    let sent = 0;
    const counted = async () => {
      sent += 1;
      return counterIn(await metrics(url), 'copse_log_lines_lost_total');
    };
    for (const kind of [...faults, 'EBADF', 'EINTR', 'ENXIO']) {
      const before = await counted();
      const toldBefore = told(log).length;
      writeFileSync(file, kind);
      await flood(url, many);
      sent += many;
      expect(await counted(), kind).to.be.above(before);
      rmSync(file);
      const line = await until(`the loss by ${kind} to be told`, 20, () => told(log)[toldBefore]);
      expect(line, kind).to.include({ level: 'warn', service: 'copse', cause: kind.split(' ')[0] });
      // Each request has a line, or is among the lost.
      await until(`all lines after ${kind}`, 20, () => requests(log) + lost(log) >= sent || undefined);
      expect(requests(log) + lost(log), kind).to.equal(sent);
      expect(await counted(), kind).to.equal(lost(log));
    }
    // The end does not wait for a log that never comes back.
    writeFileSync(file, 'EAGAIN');
    await flood(server.url, 100);
    const began = performance.now();
    expect(await server.kill('SIGTERM')).to.equal(0);
    expect(performance.now() - began).to.be.below(10_000);
  });

  it('because its reader went away does not end the service, nor hold up its end', async () => {
    const server = await startServer({ dataDir, args: simulated });
    started.push(server);
    server.child.stdout?.destroy();
    server.child.stderr?.destroy();
    await flood(server.url, many);
    expect(counterIn(await metrics(server.url), 'copse_log_lines_lost_total')).to.be.above(0);
    expect(await server.kill('SIGTERM')).to.equal(0);
  });

  /** What a server does whose output is there, with a log that nobody sees. */
  async function survives(output: number, kind: string): Promise<void> {
    const port = await freePort();
    const args = [...simulated, '--port', String(port)];
    const environment = { COPSE_ADMIN_KEY: '' };
    const server = new ServerProcess({ dataDir, args, environment, output });
    started.push(server);
    await server.answering(`http://127.0.0.1:${port}`);
    await flood(server.url, many);
    expect(counterIn(await metrics(server.url), 'copse_log_lines_lost_total'), kind).to.be.above(0);
    const began = performance.now();
    expect(await server.kill('SIGTERM'), kind).to.equal(0);
    expect(performance.now() - began).to.be.below(10_000);
  }

  it('because the disk is full from the start does not keep the server from serving', async () => {
    const full = openSync('/dev/full', 'w');
    try {
      await survives(full, '/dev/full');
    } finally {
      closeSync(full);
    }
  });

  it('because nobody reads its pipe does not stop the server', async () => {
    const fifo = join(dataDir, 'fifo');
    expect(spawnSync('mkfifo', [fifo]).status).to.equal(0);
    // Both ends, so that the pipe has a reader, who never reads. A write to it would wait for ever.
    const pipe = openSync(fifo, 'r+');
    try {
      await survives(pipe, 'a pipe');
    } finally {
      closeSync(pipe);
    }
  });

  it('on a disk that is full for a while goes on there, whole lines only, and says what is missing', async function () {
    const disk = join(dataDir, 'disk');
    spawnSync('mkdir', [disk]);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', disk]).status !== 0) {
      process.stderr.write('\n!!! SKIPPED: a full disk needs the right to mount a tmpfs\n');
      this.skip();
    }
    const log = join(disk, 'log');
    const filler = join(disk, 'filler');
    writeFileSync(filler, Buffer.alloc(200_000));
    const output = openSync(log, 'a');
    const port = await freePort();
    const server = new ServerProcess({ dataDir, args: [...simulated, '--port', String(port)], output });
    started.push(server);
    try {
      await server.answering(`http://127.0.0.1:${port}`);
      await flood(server.url, 2 * many);
      rmSync(filler);
      spawnSync('mount', ['-o', 'remount,size=64m', disk]);
      const lines = () => readFileSync(log, 'utf8').trimEnd().split('\n');
      await until(
        'the loss to be told',
        20,
        () => lines().some((line) => line.includes('"lost":')) || undefined,
      );
      expect(await server.kill('SIGTERM')).to.equal(0);
      const all = lines().map((line) => JSON.parse(line) as LogLine);
      expect(told(all)[0]).to.include({ cause: 'ENOSPC' });
      expect(requests(all) + lost(all)).to.equal(2 * many);
      expect(all.at(-1)?.msg).to.equal('stopped');
    } finally {
      await server.kill('SIGKILL');
      closeSync(output);
      spawnSync('umount', ['-l', disk]);
    }
  });
});

describe('the first key', function () {
  this.timeout(60_000);

  it('is told also when it cannot be written into its file', async () => {
    const dataDir = temporaryFolder();
    symlinkSync('/absent/folder/key', join(dataDir, 'admin.key'));
    const server = await startServer({ dataDir, args: simulated, environment: { COPSE_ADMIN_KEY: '' } });
    const [key = ''] = /copse_\S+/.exec(server.stderr) ?? [];
    const headers = { Authorization: `Bearer ${key}` };
    expect((await checkedFetch(`${server.url}/api/version`, { headers })).status).to.equal(200);
    expect(server.log.find(({ level }) => level === 'error')?.msg).to.include('cannot be written');
    expect(JSON.stringify(server.log)).not.to.include(key);
    expect(await server.kill('SIGTERM')).to.equal(0);
    await cleanUp(dataDir);
  });
});

describe('a scrape of the metrics', function () {
  this.timeout(60_000);

  it('that is abandoned leaves nothing behind', async () => {
    const dataDir = temporaryFolder();
    const server = await startServer({ dataDir, args: simulated });
    const { hostname, port } = new URL(server.url);
    for (let index = 0; index < 50; index += 1) {
      await new Promise<void>((resolve, reject) => {
        const socket = connect(Number(port), hostname, () =>
          socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n', () => socket.destroy()),
        );
        socket.on('error', reject);
        socket.on('close', () => resolve());
      });
    }
    expect(counterIn(await metrics(server.url), 'copse_stray_failures_total')).to.equal(0);
    expect(await server.kill('SIGTERM')).to.equal(0);
    await cleanUp(dataDir);
  });
});
