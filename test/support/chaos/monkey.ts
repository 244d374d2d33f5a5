/** Breaks the site in random ways, sometimes in two at a time, and lets it recover each time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Model } from './model.js';
import { lease, type Site } from './site.js';

export const faults = ['kill -9', 'SIGSTOP', 'SIGTERM', 'region slow', 'region lies', 'store away'] as const;
export type Fault = (typeof faults)[number];

/** How often each is chosen, in the order above. */
const odds = [0.42, 0.25, 0.1, 0.04, 0.1, 0.09];

/** A lasting fault continues while another one occurs, once in this many times. */
const overlap = 0.3;

export class Monkey {
  readonly #site: Site;
  readonly #model: Model;
  readonly #random: () => number;
  /** Processes that are affected by a fault, and whether one holds the store. */
  readonly #busy = new Set<number | 'store'>();

  constructor(site: Site, model: Model, random: () => number) {
    this.#site = site;
    this.#model = model;
    this.#random = random;
  }

  /** Each fault once, and then random ones. */
  async rage(signal: AbortSignal): Promise<void> {
    const lasting = new Set<Promise<void>>();
    const first = this.#shuffled();
    while (!signal.aborted) {
      await sleep(100 + this.#random() * 700);
      const fault = this.#begin(first[0] ?? this.#chosen());
      if (fault === undefined) continue;
      first.shift();
      lasting.add(fault);
      // A failure is stored, and fails the monkey when it next waits.
      fault.then(() => lasting.delete(fault)).catch(() => undefined);
      if (this.#random() >= overlap) await Promise.all(lasting);
    }
    await Promise.all(lasting);
    await this.#site.heal();
  }

  #shuffled(): Fault[] {
    return faults
      .map((fault) => ({ fault, place: this.#random() }))
      .sort((a, b) => a.place - b.place)
      .map(({ fault }) => fault);
  }

  #chosen(): Fault {
    let dice = this.#random();
    return faults.find((_, index) => (dice -= odds[index] ?? 0) < 0) ?? 'kill -9';
  }

  /** Undefined: what it would break is already broken. */
  #begin(fault: Fault): Promise<void> | undefined {
    const index = Math.floor(this.#random() * this.#site.size);
    const what = fault === 'store away' ? 'store' : fault.startsWith('region') ? undefined : index;
    if (what !== undefined && this.#busy.has(what)) return undefined;
    // A process that starts, or shuts down in order, needs the store.
    const ends = fault === 'kill -9' || fault === 'SIGTERM';
    if (this.#busy.has('store') && ends) return undefined;
    // Usually some process is there to respond.
    if (ends && this.#site.urls().length < 2 && this.#random() < 0.8) return undefined;
    // So does the fault itself: a stopped process may hold that lock.
    if (what === 'store' && this.#busy.size > 0) return undefined;
    if (what !== undefined) this.#busy.add(what);
    this.#model.count(fault);
    return this.#do(fault, index).finally(() => what !== undefined && this.#busy.delete(what));
  }

  async #do(fault: Fault, index: number): Promise<void> {
    switch (fault) {
      case 'kill -9':
        return this.#again(index, () => this.#site.kill(index), this.#random() * 800);
      case 'SIGTERM':
        return this.#again(index, () => this.#site.end(index), 0);
      case 'SIGSTOP':
        return this.#freeze(index);
      case 'region slow':
        return this.#program({ delay: lease * 700, times: 3 });
      case 'region lies':
        return this.#program({ error: 'transient', ambiguous: true, times: 4 });
      case 'store away':
        return this.#cutOff();
    }
  }

  async #again(index: number, end: () => Promise<void>, pause: number): Promise<void> {
    await end();
    await sleep(pause);
    await this.#site.start(index);
  }

  /** For longer than a lease: others take over, and then it resumes and still considers itself the holder. */
  async #freeze(index: number): Promise<void> {
    this.#site.pause(index);
    await sleep(lease * 1000 * (1.2 + this.#random()));
    this.#site.resume(index);
  }

  /** The region is slow, or does what is requested and reports a failure. */
  async #program(rule: {
    delay?: number;
    error?: 'transient';
    ambiguous?: true;
    times: number;
  }): Promise<void> {
    const verbs = ['ensureServer', 'deleteServer', 'startServer', 'stopServer', 'rebootServer'] as const;
    const verb = verbs[Math.floor(this.#random() * verbs.length)] ?? 'ensureServer';
    await this.#site.withCloud((region) => region.program({ verb, ...rule }));
  }

  /** Longer than a writer waits for the store. */
  async #cutOff(): Promise<void> {
    const release = await this.#site.holdStore();
    await sleep(1000 + this.#random() * 5500);
    await release();
  }
}
