/** Rounds of kill -9 during a mixed load on one store, and what must exist after each. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import { secrets } from '../../src/data/secret.js';
import type { Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { faultsIn } from './store-invariants.js';

interface Said {
  ready?: true;
  made?: string;
  task?: string;
  finished?: string;
  going?: string;
  gone?: string;
  counted?: number;
}

/** Everything that was acknowledged, over all rounds. */
export class Acknowledged {
  readonly made = new Map<string, string>();
  readonly finished = new Set<string>();
  readonly going = new Set<string>();
  readonly gone = new Set<string>();
  counted = 0;
  lines = 0;

  add({ made, task, finished, going, gone, counted }: Said): void {
    this.lines += 1;
    if (made !== undefined) this.made.set(made, task ?? '');
    if (finished !== undefined) this.finished.add(finished);
    if (going !== undefined) this.going.add(going);
    if (gone !== undefined) this.gone.add(gone);
    this.counted = Math.max(this.counted, counted ?? 0);
  }

  /** Fails on anything that was acknowledged but is missing, on halves of pairs, and on duplicate names. */
  async check(store: Store): Promise<void> {
    for (const [id, task] of this.made) {
      if (!this.going.has(id)) expect(await store.get(instances, id), `instance ${id}`).not.to.be.undefined;
      expect(await store.get(tasks, task), `task ${task}`).not.to.be.undefined;
    }
    for (const id of this.finished)
      expect((await store.get(tasks, id))?.value.queue, `task ${id}`).to.equal('done');
    for (const id of this.gone) expect(await store.get(instances, id), `instance ${id}`).to.be.undefined;
    const counted = Number((await store.get(secrets, 'test-counter'))?.value.value ?? 0);
    expect(counted, 'the counter').to.be.at.least(this.counted);
    expect(await faultsIn(store)).to.deep.equal([]);
  }
}

/** Starts a writer, lets it work for this many milliseconds, kills it, and returns its output. */
export async function killedWriter(
  address: string,
  folder: string,
  seed: number,
  time: number,
): Promise<Said[]> {
  const script = join(import.meta.dirname, 'writer-child.js');
  const child = spawn(process.execPath, [script, address, folder, String(seed)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let trouble = '';
  child.stderr.on('data', (chunk) => (trouble += String(chunk)));
  const said: Said[] = [];
  const ended = new Promise<string>((resolve) => {
    child.once('close', (code, signal) => resolve(signal ?? String(code)));
  });
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      // The last line may be cut off: then it was not acknowledged.
      if (!line.endsWith('}')) return;
      const one = JSON.parse(line) as Said;
      said.push(one);
      if (one.ready === true) resolve();
    });
  });
  await Promise.race([ready, ended]);
  await sleep(time);
  child.kill('SIGKILL');
  expect(await ended, trouble).to.equal('SIGKILL');
  return said;
}
