/** The log on its way out of a process, which is gathered: nothing of it is lost, cut or mixed up. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/config.js';

const module = pathToFileURL(join(packageRoot(), 'build/src/telemetry/logger.js')).href;

interface Line {
  msg: string;
  time: string;
  at: number;
  text: string;
}

/** What a process has written that runs this with a `log`, and how it ended. */
function linesOf(program: string): { lines: Line[]; status: number | null } {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { createLogger } from '${module}'; const log = createLogger('info'); ${program}`,
    ],
    { encoding: 'utf8', maxBuffer: 2 ** 26 },
  );
  expect(stderr).to.equal('');
  const texts = stdout.split('\n');
  expect(texts.pop(), 'what follows the last line').to.equal('');
  return { lines: texts.map((text) => JSON.parse(text) as Line), status };
}

describe('the log', () => {
  it('has every line whole and in order, whatever its length and its characters', () => {
    // Lengths on either side of what is gathered, in bytes and in characters.
    const { lines } = linesOf(`
      for (let at = 0; at < 400; at += 1) log.info({ at, text: 'aä中𝒳'.repeat((at * 37) % 300) }, 'some');
      for (const size of [5400, 5461, 5462, 16383, 16384, 40000]) log.info({ at: size, text: '中'.repeat(size) }, 'long');
    `);
    expect(lines).to.have.length(406);
    for (const [at, { text }] of lines.slice(0, 400).entries())
      expect(text, `line ${at}`).to.equal('aä中𝒳'.repeat((at * 37) % 300));
    for (const { at, text } of lines.slice(400)) expect(text).to.equal('中'.repeat(at));
    expect(lines.slice(0, 400).map(({ at }) => at)).to.deep.equal(Array.from({ length: 400 }, (_, at) => at));
  });

  it('has in each line the time of that line', () => {
    const { lines } = linesOf(`
      const wait = () => { const from = Date.now(); while (Date.now() < from + 20); };
      for (let times = 0; times < 5; times += 1) {
        const before = Date.now();
        log.info({ at: before }, 'some');
        log.info({ at: before }, 'another');
        wait();
      }
    `);
    expect(lines).to.have.length(10);
    for (const { at, time } of lines) expect(Date.parse(time) - at, time).to.be.within(0, 15);
    expect(new Set(lines.map(({ time }) => time)).size).to.be.at.least(5);
  });

  it('is written out at the end of the process, however it ends', () => {
    for (const [end, status] of [
      ['', 0],
      ['process.exit(3);', 3],
    ] as const) {
      const ended = linesOf(`log.info({ at: 1 }, 'last'); ${end}`);
      expect(ended.status).to.equal(status);
      expect(ended.lines.map(({ msg }) => msg)).to.deep.equal(['last']);
    }
    const killed = linesOf("log.info('before'); log.flush(); process.kill(process.pid, 'SIGKILL');");
    expect(killed.lines.map(({ msg }) => msg)).to.deep.equal(['before']);
  });

  it('keeps no more memory of lines that cannot be written than they have bytes, however slowly they come', () => {
    const full = openSync('/dev/full', 'w');
    try {
      const { stderr } = spawnSync(
        process.execPath,
        [
          '--input-type=module',
          '-e',
          `import { createLogger } from '${module}'; const log = createLogger('info');
           for (let times = 0; times < 4000; times += 1) { log.info('some'); log.flush(); }
           process.stderr.write(String(process.memoryUsage().arrayBuffers / 2 ** 20));`,
        ],
        { encoding: 'utf8', stdio: ['ignore', full, 'pipe'] },
      );
      // MiB, of which the lines are less than one.
      expect(Number(stderr)).to.be.within(0.1, 16);
    } finally {
      closeSync(full);
    }
  });
});
