/** Pages at the beginning of a list compared with pages deep in it, requested in turn. */
import { Agent, request } from 'node:http';
import { median } from '../pipeline/report.js';
import { adminKey } from '../../test/support/process.js';

/** Number of pages at either end that samples are taken from, so that they are not always the same page. */
const spread = 20;
const step = 1000;

export interface ListOptions {
  title: string;
  query: string;
}

export interface ListResult {
  title: string;
  depth: number;
  /** Milliseconds, the medians. */
  shallow: number;
  deep: number;
}

/** Addresses of pages of 100 at both ends, as paths. */
export interface Pages {
  title: string;
  depth: number;
  shallow: string[];
  deep: string[];
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Milliseconds to the last byte, and the page's next link. */
function ask(url: string): Promise<{ milliseconds: number; next: string | undefined; bytes: number }> {
  return new Promise((resolve, reject) => {
    const begun = process.hrtime.bigint();
    const headers = { Authorization: `Bearer ${adminKey}`, Accept: 'application/json' };
    const sent = request(url, { agent, headers }, (answer) => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => (bytes += chunk.length));
      answer.on('end', () => {
        const milliseconds = Number(process.hrtime.bigint() - begun) / 1e6;
        if (answer.statusCode !== 200) reject(new Error(`GET ${url}: ${answer.statusCode ?? 0}`));
        const next = /<([^>]+)>; rel="next"/.exec(String(answer.headers['link'] ?? ''))?.[1];
        resolve({ milliseconds, next, bytes });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}

/** Follows the links to the depth, in pages of 1000, and returns the pages of 100 there. */
export async function walk(base: string, { title, query }: ListOptions, depth: number): Promise<Pages> {
  const first = `/api/v2/instances?${query}`;
  const pagesFrom = async (start: string) => {
    const found: string[] = [];
    for (let at: string | undefined = start; at !== undefined && found.length < spread;) {
      found.push(at);
      const { next } = await ask(base + at);
      at = next === undefined ? undefined : pathOf(next);
    }
    return found;
  };
  const sized = (path: string, limit: number) => {
    const url = new URL(path, base);
    url.searchParams.set('limit', String(limit));
    return pathOf(url.href);
  };
  let at = sized(first, step);
  for (let walked = 0; walked < depth; walked += step) {
    const { next } = await ask(base + at);
    if (next === undefined) throw new Error(`the list "${title}" ends before ${depth}`);
    at = pathOf(next);
  }
  return {
    title,
    depth,
    shallow: await pagesFrom(sized(first, 100)),
    deep: await pagesFrom(sized(at, 100)),
  };
}

/** The medians of both ends; samples alternate between them. */
export async function compare(base: string, pages: Pages, samples: number): Promise<ListResult> {
  const { title, depth } = pages;
  const taken: { shallow: number[]; deep: number[] } = { shallow: [], deep: [] };
  for (let round = -samples / 5; round < samples; round += 1) {
    const turns = ['shallow', 'deep'] as const;
    for (const end of Math.abs(round) % 2 === 0 ? turns : [...turns].reverse()) {
      const from = pages[end];
      const { milliseconds } = await ask(base + (from[Math.abs(round) % from.length] ?? ''));
      // The first fifth only warms up.
      if (round >= 0) taken[end].push(milliseconds);
    }
  }
  return { title, depth, shallow: median(taken.shallow), deep: median(taken.deep) };
}
