/** Templates of chains by id, compiled once. Names: GoREST's TemplatesCache. Difference: HTML and XML are escaped. */
import { readFile } from 'node:fs/promises';
import { Liquid, type Template } from 'liquidjs';

export class TemplatesCache {
  readonly #escaping = new Liquid({ outputEscape: 'escape', strictFilters: true, ownPropertyOnly: true });
  readonly #plain = new Liquid({ strictFilters: true, ownPropertyOnly: true });
  readonly #templates = new Map<string, { contentType: string; parsed: Template[]; engine: Liquid }>();

  /** Stores the template. Throws for one that cannot be parsed, and keeps the former one. */
  parse(id: string, text: string, contentType: string): void {
    const engine = /html|xml/.test(contentType) ? this.#escaping : this.#plain;
    this.#templates.set(id, { contentType, parsed: engine.parse(text), engine });
  }

  async loadAndParse(id: string, file: string, contentType: string): Promise<void> {
    this.parse(id, await readFile(file, 'utf8'), contentType);
  }

  has(id: string): boolean {
    return this.#templates.has(id);
  }

  delete(id: string): boolean {
    return this.#templates.delete(id);
  }

  /** The whole text, before anything is sent of it. */
  async render(id: string, data: object): Promise<{ text: string; contentType: string }> {
    const template = this.#templates.get(id);
    if (template === undefined) throw new Error(`There is no template "${id}".`);
    const { contentType, parsed, engine } = template;
    return { text: (await engine.render(parsed, data)) as string, contentType };
  }

  async loadAndRender(id: string, file: string, contentType: string, data: object) {
    if (!this.has(id)) await this.loadAndParse(id, file, contentType);
    return this.render(id, data);
  }
}
