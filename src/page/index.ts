/** Pages that show what the API answers, and forms for what it takes. Templates, styles and scripts are beside this file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Liquid } from 'liquidjs';
import { packageRoot } from '../platform/package.js';
import type { FormField } from './field.js';

export interface PageLink {
  href: string;
  text: string;
}

export interface PageForm {
  id: string;
  method: string;
  action: string;
  summary: string;
  description?: string | undefined;
  /** Entity tag that the resource must still have. */
  tag: string;
  fields: readonly FormField[];
}

/** What a page shows. Every text is escaped, except `content`, which `contentOf` has made. */
export interface Page {
  title: string;
  heading: string;
  method: string;
  /** Address with its query, and without. */
  target: string;
  path: string;
  status: number;
  user?: string | undefined;
  tag?: string | undefined;
  requestId?: string | undefined;
  /** Address of the task that does the work. */
  task?: string | undefined;
  error?:
    | {
        code: string;
        message: string;
        errors: { place?: string | undefined; message: string }[];
        blockedBy?: string | undefined;
      }
    | undefined;
  /** Whether to ask for an API key. */
  signIn: boolean;
  /** Whether the address is nothing but a start. */
  isStart: boolean;
  collections: readonly (PageLink & { isCurrent: boolean })[];
  filters: { fields: readonly FormField[] };
  pages: readonly (PageLink & { rel: string })[];
  content: string;
  related: readonly PageLink[];
  forms: readonly PageForm[];
}

export interface Asset {
  readonly mediaType: string;
  readonly content: Buffer;
}

export interface Pages {
  render(page: Page): string;
  /** By name. */
  readonly assets: ReadonlyMap<string, Asset>;
}

/** What a page may do: load its own style and script, and talk to its own server. */
export const pageHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'same-origin',
};

/** Reads and compiles the templates of the folder once; a mistake in one prevents the start. */
export function openPages(folder = join(packageRoot(), 'src', 'page')): Pages {
  const text = (name: string) => readFileSync(join(folder, name), 'utf8');
  const engine = new Liquid({
    ...{ outputEscape: 'escape', strictFilters: true, ownPropertyOnly: true },
    templates: { field: text('field.liquid') },
  });
  const template = engine.parse(text('page.liquid'));
  const asset = (mediaType: string, name: string): [string, Asset] => [
    name,
    { mediaType, content: readFileSync(join(folder, name)) },
  ];
  return {
    render: (page) => engine.renderSync(template, page) as string,
    assets: new Map([
      asset('text/css; charset=utf-8', 'style.css'),
      asset('text/javascript; charset=utf-8', 'script.js'),
    ]),
  };
}
