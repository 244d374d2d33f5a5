/** The port to the pages for people, which are made outside the pipeline. */
import type { Context } from 'koa';
import type { Answer } from './response.js';

export interface PageWriter {
  /** Header fields of every page. */
  readonly headers: Readonly<Record<string, string>>;
  /** The page that shows the answer, which is in JSON. */
  write(ctx: Context, answer: Answer): string;
}
