/** The small parts: taking turns, waiting, and reading a console from its end. */
import { appendFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { beginMove, endMove } from '../../../src/region/local/console-extent.js';
import {
  PromptWatch,
  readConsole,
  readConsoleFrom,
  rotateConsole,
} from '../../../src/region/local/console-log.js';
import { Operations } from '../../../src/region/local/operations.js';
import { StartQueue } from '../../../src/region/local/start-queue.js';
import { orAbort, pause, settlesWithin } from '../../../src/platform/time.js';
import { partOf } from '../../../src/model/console.js';
import { patient, rejectionOf, scratchFolder } from '../../support/region.js';

describe('local region: console log', () => {
  let folder: string;

  beforeEach(() => {
    folder = scratchFolder('console');
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  const write = (older: Buffer | string, newer: Buffer | string): void => {
    writeFileSync(join(folder, 'console.log.1'), older);
    writeFileSync(join(folder, 'console.log'), newer);
  };

  const contentsOf = async (...args: Parameters<typeof readConsole>): Promise<string> =>
    (await readConsole(...args)).contents;

  it('reads over the rotation what a naive reader would', async () => {
    const text = fc
      .array(fc.constantFrom('a', 'line\n', '\n', 'ä', '€'), { maxLength: 40 })
      .map((all) => all.join(''));
    const lines = fc.option(fc.nat(12), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(text, text, lines, async (older, newer, count) => {
        write(older, newer);
        const whole = older + newer;
        const expected = partOf(Buffer.from(whole), 0, count).contents;
        expect(await contentsOf(folder, 1 << 20, count)).to.equal(expected);
      }),
      { numRuns: 50 },
    );
  });

  it('reads across its blocks', async () => {
    const line = 'a line of some length, so that blocks end within it\n';
    write(line.repeat(3000), line.repeat(3000));
    expect(await contentsOf(folder, 1 << 20, 4000)).to.equal(line.repeat(4000));
    expect(await contentsOf(folder, 1 << 20)).to.equal(line.repeat(6000));
  });

  it('gives at most the limit, and no half character where it cuts', async () => {
    write('', '€'.repeat(100));
    for (const limit of [1, 2, 3, 4, 5, 6, 299]) {
      const text = await contentsOf(folder, limit);
      expect(text).to.equal('€'.repeat(Math.floor(limit / 3)));
    }
  });

  for (const [character, size] of [
    ['ä', 2],
    ['€', 3],
    ['😀', 4],
  ] as const) {
    it(`shows a character of ${size} bytes whole or not at all, wherever the log is cut`, async () => {
      for (let limit = 0; limit <= 3 * size; limit += 1) {
        for (const [older, newer] of [
          [0, 10],
          [1, 9],
          [10, 0],
        ] as const) {
          write(character.repeat(older), character.repeat(newer));
          const expected = character.repeat(Math.floor(limit / size));
          expect(await contentsOf(folder, limit), `limit ${limit}`).to.equal(expected);
          expect(await contentsOf(folder, limit, 5), `limit ${limit}`).to.equal(expected);
        }
      }
      // Between its files, at the end of what QEMU has written so far, and at the edge of a block.
      const bytes = Buffer.from(`before ${character}`);
      for (let cut = 0; cut < size; cut += 1) {
        const end = bytes.length - cut;
        write(bytes.subarray(0, end), bytes.subarray(end));
        expect(await contentsOf(folder, 100), `parted by ${cut}`).to.equal(`before ${character}`);
        write('', bytes.subarray(0, end));
        const written = cut === 0 ? `before ${character}` : 'before ';
        expect(await contentsOf(folder, 100), `without the last ${cut}`).to.equal(written);
        write('', `${character}${'x'.repeat((64 << 10) - cut)}`);
        expect(await contentsOf(folder, 1 << 20)).to.equal(`${character}${'x'.repeat((64 << 10) - cut)}`);
      }
    });

    it(`keeps no part of a character of ${size} bytes when the log is shortened`, async () => {
      for (let shift = 0; shift < size; shift += 1) {
        write('', character.repeat(1000) + 'x'.repeat(shift));
        expect(await rotateConsole(folder, 100, () => Promise.resolve())).to.equal(true);
        const kept = Math.floor((50 - shift) / size);
        expect(await contentsOf(folder, 1000)).to.equal(character.repeat(kept) + 'x'.repeat(shift));
      }
    });
  }

  it('replaces what is not UTF-8, and is empty without a file', async () => {
    expect(await contentsOf(folder, 100)).to.equal('');
    write('', Buffer.from([0x61, 0xff, 0x62]));
    expect(await contentsOf(folder, 100)).to.equal('a\ufffdb');
  });

  it('rotates beyond half the limit, and takes it back when QEMU does not go along', async () => {
    write('', 'x'.repeat(40));
    const nothing = (): Promise<void> => Promise.resolve();
    expect(await rotateConsole(folder, 100, nothing)).to.equal(false);
    appendFileSync(join(folder, 'console.log'), 'y'.repeat(20));
    const failure = rotateConsole(folder, 100, () => Promise.reject(new Error('no')));
    expect(await rejectionOf(failure)).to.be.instanceOf(Error);
    expect(await contentsOf(folder, 1000)).to.have.length(60);
    expect(await rotateConsole(folder, 100, nothing)).to.equal(true);
    expect(await contentsOf(folder, 1000)).to.have.length(60);
    writeFileSync(join(folder, 'console.log'), 'z'.repeat(1000));
    expect(await rotateConsole(folder, 100, nothing)).to.equal(true);
    expect(await contentsOf(folder, 1000)).to.equal('z'.repeat(50));
  });

  it('finds a byte by the same offset for ever, over rotations, and tells where it begins when it is gone', async () => {
    let written = '';
    for (let round = 0; round < 6; round += 1) {
      const more = String(round).repeat(70);
      appendFileSync(join(folder, 'console.log'), more);
      written += more;
      expect(await rotateConsole(folder, 100, () => Promise.resolve())).to.equal(true);
      const { contents, start, next } = await readConsoleFrom(folder, 0);
      expect(next).to.equal(written.length);
      expect(contents).to.equal(written.slice(start));
      expect(contents.length).to.be.at.least(50);
      for (const offset of [start, start + 1, next - 1, next])
        expect(await readConsoleFrom(folder, offset)).to.deep.equal({
          contents: written.slice(offset),
          start: offset,
          next,
        });
      expect(await readConsole(folder, 1000, 1)).to.include({ next });
    }
    const { next } = await readConsoleFrom(folder, 0);
    // Beyond the end: what was there before belonged to another machine.
    expect((await readConsoleFrom(folder, next + 1)).start).to.be.lessThan(next);
  });

  it('finds it also when the process was killed at any step of a rotation', async () => {
    const [log, older] = [join(folder, 'console.log'), join(folder, 'console.log.1')];
    writeFileSync(log, 'a'.repeat(60));
    await rotateConsole(folder, 100, () => Promise.resolve());
    writeFileSync(log, 'b'.repeat(60));
    const whole = `${'a'.repeat(60)}${'b'.repeat(60)}`;
    const steps: (() => unknown)[] = [
      () => beginMove(folder),
      () => renameSync(log, older),
      // QEMU goes on in the moved file until it opens the new one.
      () => appendFileSync(older, 'c'),
      () => writeFileSync(log, 'd'),
      () => endMove(folder),
    ];
    const expected = [
      whole,
      whole.slice(60),
      `${whole}c`.slice(60),
      `${whole}cd`.slice(60),
      `${whole}cd`.slice(60),
    ];
    for (const [index, step] of steps.entries()) {
      await step();
      const { contents, start } = await readConsoleFrom(folder, 0);
      expect(contents, `step ${index}`).to.equal(expected[index]);
      expect(start, `step ${index}`).to.equal(index === 0 ? 0 : 60);
    }
  });

  it('sees the prompt of this boot, in pieces and after a rotation, but not of the one before', async () => {
    write('', 'old login: ');
    const watch = new PromptWatch(folder, 11);
    expect(await watch.seen()).to.equal(false);
    appendFileSync(join(folder, 'console.log'), 'new log');
    expect(await watch.seen()).to.equal(false);
    appendFileSync(join(folder, 'console.log'), 'in: ');
    expect(await watch.seen()).to.equal(true);
    const rotated = new PromptWatch(folder, 1000);
    expect(await rotated.seen()).to.equal(true);
  });
});

describe('local region: taking turns', () => {
  it('does one act at a time, in order, over failures and those who gave up', async () => {
    const operations = new Operations();
    const done: string[] = [];
    const act = (name: string, ms: number, signal?: AbortSignal): Promise<void> =>
      operations.run(signal, async () => {
        done.push(`${name} begins`);
        await pause(ms);
        done.push(`${name} ends`);
      });
    const abort = new AbortController();
    const one = act('one', 20);
    const failing = rejectionOf(operations.run(undefined, () => Promise.reject(new Error('failed'))));
    const two = rejectionOf(act('two', 0, abort.signal));
    const three = act('three', 0, patient());
    const reason = new Error('gave up');
    abort.abort(reason);
    expect(await two).to.equal(reason);
    await Promise.all([one, failing, three]);
    expect(done).to.deep.equal(['one begins', 'one ends', 'three begins', 'three ends']);
    expect(operations.pending).to.equal(0);
  });

  it('answers a caller who gives up at once, and ends the act before the next', async () => {
    const operations = new Operations();
    const abort = new AbortController();
    const done: string[] = [];
    const one = operations.run(abort.signal, async () => {
      await pause(30);
      done.push('one');
    });
    const two = operations.run(undefined, () => Promise.resolve(done.push('two')));
    await pause(5);
    abort.abort(new Error('gave up'));
    await rejectionOf(one);
    expect(done).to.deep.equal([]);
    await two;
    expect(done).to.deep.equal(['one', 'two']);
  });

  it('lets an overtaker end the waiting of the act under way', async () => {
    const operations = new Operations();
    const waiting = rejectionOf(
      operations.run(patient(), ({ overtaken }) => pause(10_000, { signal: overtaken })),
    );
    await pause(1);
    operations.overtakeQueued(new Error('not queued'));
    const reason = new Error('overtaken');
    operations.overtake(reason);
    expect(await waiting).to.equal(reason);
  });

  it('takes nothing more once it is closed', async () => {
    const operations = new Operations();
    const reason = new Error('closing');
    const waiting = rejectionOf(operations.run(undefined, ({ signal }) => pause(10_000, { signal })));
    await operations.close(reason);
    expect(await waiting).to.equal(reason);
    expect(await rejectionOf(operations.run(undefined, () => Promise.resolve()))).to.equal(reason);
  });
});

describe('local region: start queue', () => {
  it('keeps a place until the guest has booted, but answers when it runs', async () => {
    const queue = new StartQueue(1);
    const said: string[] = [];
    let finishBoot = (): void => undefined;
    const first = queue.run({
      signal: patient(),
      begin: () => Promise.resolve('first'),
      booted: () => new Promise((resolve) => (finishBoot = resolve)),
    });
    const second = queue.run({
      signal: patient(),
      begin: () => Promise.resolve(said.push('second begins')),
      booted: () => Promise.resolve(),
    });
    expect(await first).to.equal('first');
    await pause(5);
    expect(said).to.deep.equal([]);
    finishBoot();
    await second;
    expect(said).to.deep.equal(['second begins']);
  });

  it('lets those go who give up while they wait, and goes on after a failure', async () => {
    const queue = new StartQueue(1);
    const abort = new AbortController();
    const failing = queue.run({
      signal: patient(),
      begin: () => pause(5).then(() => Promise.reject(new Error('failed'))),
      booted: () => Promise.resolve(),
    });
    let begun = false;
    const waiting = queue.run({
      signal: abort.signal,
      begin: () => Promise.resolve((begun = true)),
      booted: () => Promise.resolve(),
    });
    const reason = new Error('gave up');
    abort.abort(reason);
    expect(await rejectionOf(waiting)).to.equal(reason);
    expect(await rejectionOf(failing)).to.have.property('message', 'failed');
    const last = { signal: patient(), begin: () => Promise.resolve('last'), booted: () => Promise.resolve() };
    expect(await queue.run(last)).to.equal('last');
    expect(begun).to.equal(false);
  });
});

describe('local region: waiting', () => {
  it('ends early with the reason of the signal', async () => {
    const reason = new Error('enough');
    const aborted = AbortSignal.abort(reason);
    const never = new Promise<never>(() => undefined);
    expect(await rejectionOf(pause(10_000, { signal: aborted }))).to.equal(reason);
    expect(await rejectionOf(settlesWithin(never, 10_000, aborted))).to.equal(reason);
    expect(await rejectionOf(orAbort(never, aborted))).to.equal(reason);
    const abort = new AbortController();
    const waits = [
      pause(10_000, { signal: abort.signal }),
      settlesWithin(never, 10_000, abort.signal),
      orAbort(never, abort.signal),
    ];
    const ends = Promise.all(waits.map(rejectionOf));
    abort.abort(reason);
    expect(await ends).to.deep.equal([reason, reason, reason]);
  });

  it('tells whether something settled in time', async () => {
    expect(await settlesWithin(Promise.reject(new Error('no matter')), 1000)).to.equal(true);
    expect(await settlesWithin(new Promise(() => undefined), 5)).to.equal(false);
  });
});
