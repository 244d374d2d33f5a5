/** Breaks the site in random ways, one after the other, and lets it come back each time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Model } from './model.js';
import { lease, type Site } from './site.js';

export class Monkey {
  readonly #site: Site;
  readonly #model: Model;
  readonly #random: () => number;

  constructor(site: Site, model: Model, random: () => number) {
    this.#site = site;
    this.#model = model;
    this.#random = random;
  }

  async rage(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(200 + this.#random() * 1200);
      const index = Math.floor(this.#random() * this.#site.size);
      const dice = this.#random();
      if (dice < 0.45) await this.#kill(index);
      else if (dice < 0.7) await this.#freeze(index);
      else if (dice < 0.8) await this.#end(index);
      else if (dice < 0.92) await this.#confuse();
      else await this.#cutOff();
    }
    await this.#site.heal();
  }

  async #kill(index: number): Promise<void> {
    this.#model.count('kill -9');
    await this.#site.kill(index);
    await sleep(this.#random() * 800);
    await this.#site.start(index);
  }

  /** For longer than a lease: others take over, and then it comes back and believes itself the holder. */
  async #freeze(index: number): Promise<void> {
    this.#model.count('SIGSTOP');
    this.#site.pause(index);
    await sleep(lease * 1000 * (1.2 + this.#random()));
    this.#site.resume(index);
  }

  async #end(index: number): Promise<void> {
    this.#model.count('SIGTERM');
    await this.#site.end(index);
    await this.#site.start(index);
  }

  /** The region does what it is asked to and says that it failed, or takes long. */
  async #confuse(): Promise<void> {
    this.#model.count('region confused');
    const verbs = ['ensureServer', 'deleteServer', 'startServer', 'stopServer', 'rebootServer'] as const;
    const verb = verbs[Math.floor(this.#random() * verbs.length)] ?? 'ensureServer';
    const slow = this.#random() < 0.3;
    await this.#site.withCloud((region) => {
      if (slow) region.program({ verb, delay: lease * 700, times: 3 });
      else region.program({ verb, error: 'transient', ambiguous: true, times: 4 });
    });
  }

  /** Longer than a writer waits for the store. */
  async #cutOff(): Promise<void> {
    this.#model.count('store away');
    const release = await this.#site.holdStore();
    await sleep(1000 + this.#random() * 5500);
    await release();
  }
}
