import type { TextPage } from '../port.js';

/** Bytes that an entry costs besides its body: key, position, map entry. Rounded up. */
const overhead = 500;

/** Keys whose use is counted; beyond it the counting starts anew, so that what was liked long ago can go. */
const countLimit = 2000;

/**
 * Pages as they were last read, until somebody writes their collection: many clients ask for the same first pages again
 * and again, and a page that is still true costs a tenth of one that is read. A page is kept when it is asked for again,
 * and drives out the least recently used one only if it was asked for more often: who walks through a long list, even
 * repeatedly, would else drive out all others and leave 60 MiB of garbage that has grown old.
 */
export class KeptPages {
  readonly #limit: number;
  #bytes = 0;
  #epoch = NaN;
  /** In order of use, by collection and query. */
  readonly #pages = new Map<string, { collection: string; page: TextPage }>();
  readonly #collections = new Map<string, Set<string>>();
  /** How often each key was asked for, as far back as that is remembered. */
  readonly #uses = new Map<string, number>();

  /** `limit` in bytes; 0 keeps nothing. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The page of this key if nobody has written since, else what `read` gives. `epoch` shows writes of other processes. */
  through(collection: string, key: string, epoch: number, read: () => TextPage): TextPage {
    if (epoch !== this.#epoch) this.#clear(epoch);
    const name = `${collection} ${key}`;
    const uses = this.#count(name);
    const known = this.#pages.get(name);
    if (known !== undefined) {
      this.#pages.delete(name);
      this.#pages.set(name, known);
      return known.page;
    }
    const page = read();
    if (uses === 1 || !this.#makeRoom(page.body.length + overhead, uses)) return page;
    return this.#keep(collection, name, { ...page, kept: true });
  }

  /** Forgets the pages of a collection. */
  forget(collection: string): void {
    const names = this.#collections.get(collection);
    if (names === undefined) return;
    this.#collections.delete(collection);
    for (const name of names) this.#drop(name);
  }

  #count(name: string): number {
    if (this.#uses.size >= countLimit) this.#uses.clear();
    const uses = (this.#uses.get(name) ?? 0) + 1;
    this.#uses.set(name, uses);
    return uses;
  }

  /** Drops pages that are less in demand; false when there are not enough of them. */
  #makeRoom(size: number, uses: number): boolean {
    // One huge page must not drive out many others.
    if (size > this.#limit / 32) return false;
    for (const oldest of this.#pages.keys()) {
      if (this.#bytes + size <= this.#limit) break;
      if ((this.#uses.get(oldest) ?? 0) >= uses) return false;
      this.#drop(oldest);
    }
    return true;
  }

  #keep(collection: string, name: string, page: TextPage): TextPage {
    this.#pages.set(name, { collection, page });
    const names = this.#collections.get(collection);
    if (names === undefined) this.#collections.set(collection, new Set([name]));
    else names.add(name);
    this.#bytes += page.body.length + overhead;
    return page;
  }

  #drop(name: string): void {
    const found = this.#pages.get(name);
    if (found === undefined) return;
    this.#pages.delete(name);
    this.#collections.get(found.collection)?.delete(name);
    this.#bytes -= found.page.body.length + overhead;
  }

  #clear(epoch: number): void {
    this.#epoch = epoch;
    this.#bytes = 0;
    this.#pages.clear();
    this.#collections.clear();
  }
}
