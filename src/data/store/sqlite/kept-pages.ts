import type { TextPage } from '../port.js';

/** Bytes that an entry costs besides its body: key, position, map entry. Rounded up. */
const overhead = 500;

/**
 * Pages as they were last read, until somebody writes their collection: many clients ask for the same first pages again
 * and again, and a page that is still true costs a tenth of one that is read. Least recently used goes first.
 */
export class KeptPages {
  readonly #limit: number;
  #bytes = 0;
  #epoch = NaN;
  /** In order of use, by collection and query. */
  readonly #pages = new Map<string, { collection: string; page: TextPage }>();
  readonly #collections = new Map<string, Set<string>>();

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
    const known = this.#pages.get(name);
    if (known !== undefined) {
      this.#pages.delete(name);
      this.#pages.set(name, known);
      return known.page;
    }
    const page = read();
    this.#keep(collection, name, page);
    return page;
  }

  /** Forgets the pages of a collection. */
  forget(collection: string): void {
    const names = this.#collections.get(collection);
    if (names === undefined) return;
    this.#collections.delete(collection);
    for (const name of names) this.#drop(name);
  }

  #keep(collection: string, name: string, page: TextPage): void {
    const size = page.body.length + overhead;
    // One huge page must not drive out all others.
    if (size > this.#limit / 8) return;
    this.#pages.set(name, { collection, page });
    const names = this.#collections.get(collection);
    if (names === undefined) this.#collections.set(collection, new Set([name]));
    else names.add(name);
    this.#bytes += size;
    for (const oldest of this.#pages.keys()) {
      if (this.#bytes <= this.#limit) break;
      this.#drop(oldest);
    }
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
