/** The three jobs: their requests for each server, and the check that every server responds correctly. */
import { adminKey, servedRegion } from './seed.js';
import type { Load } from './load.js';
import type { Paging, Server } from './servers.js';

export const pageSize = 100;
const collection = '/api/v2/instances';
const headers = { Accept: 'application/json', Authorization: `Bearer ${adminKey}` };

export const jobNames = ['one', 'page', 'post'] as const;
export type JobName = (typeof jobNames)[number];

export const jobTitles: Readonly<Record<JobName, string>> = {
  one: 'GET of one instance',
  page: `GET of a page of ${pageSize}`,
  post: 'POST of an instance (two rows in one transaction)',
};

/** What is requested from all servers. */
export interface Sample {
  ids: string[];
  /** Pages at random depths, as a cursor and as the id before them. */
  pages: Record<Paging, string>[];
  body: { before: string; after: string };
}

interface Shown {
  metadata: { id: string; name: string; projectId: string };
}

/** A fixed sequence, so that two runs request the same. */
function randomly(): () => number {
  let state = 20_261_121;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  const mixed = values.map((value) => ({ value, at: random() }));
  return mixed.sort((a, b) => a.at - b.at).map(({ value }) => value);
}

/** Uncompressed responses, as the load generator gets them: fetch would request compressed ones. */
async function ask(url: string, init: Init = {}): Promise<{ response: Response; text: string }> {
  const plain = { ...headers, 'Accept-Encoding': 'identity' };
  const response = await fetch(url, { ...init, headers: { ...plain, ...init.headers } });
  return { response, text: await response.text() };
}

async function get<R>(url: string): Promise<R> {
  const { response, text } = await ask(url);
  if (!response.ok) throw new Error(`GET ${url}: ${response.status} ${text.slice(0, 500)}`);
  return JSON.parse(text) as R;
}

/** Walks the whole list of the Copse server once, and takes ids and pages evenly from all depths, in random order. */
export async function sampleOf(copse: Server): Promise<Sample> {
  const random = randomly();
  const ids: string[] = [];
  const pages: Sample['pages'] = [];
  let project = '';
  let next: string | undefined = `${copse.url}${collection}?limit=${pageSize}`;
  for (let number = 0; next !== undefined; number += 1) {
    const { response, text } = await ask(next);
    if (!response.ok) throw new Error(`GET ${next}: ${response.status} ${text.slice(0, 500)}`);
    const items = JSON.parse(text) as Shown[];
    next = /<([^>]+)>; rel="next"/.exec(response.headers.get('Link') ?? '')?.[1];
    project = items[0]?.metadata.projectId ?? project;
    for (let taken = 0; taken < 5; taken += 1) {
      const item = items[Math.floor(random() * items.length)];
      if (item !== undefined) ids.push(item.metadata.id);
    }
    const after = items.at(-1)?.metadata.id;
    const key = next === undefined ? null : new URL(next).searchParams.get('key');
    if (number % 5 === 0 && key !== null && after !== undefined) pages.push({ key, after });
  }
  // The last of them may lead to a page that is not full.
  const full = pages.slice(0, -1);
  if (full.length === 0) throw new Error('too few instances; use --rows 2000 or more');
  const body = await bodyOf(copse, project);
  return { ids: shuffled(ids, random), pages: shuffled(full, random), body };
}

interface Init {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

interface Named {
  metadata: { id: string; name: string };
}

async function bodyOf(copse: Server, projectId: string): Promise<Sample['body']> {
  const projects = await get<{ metadata: { organizationId: string } }[]>(`${copse.url}/api/v2/projects`);
  const catalog = `${copse.url}/api/v1/organizations/${projects[0]?.metadata.organizationId ?? ''}/regions`;
  const region = (await get<Named[]>(catalog)).find(({ metadata }) => metadata.name === servedRegion);
  const regionId = region?.metadata.id ?? '';
  const [flavor] = await get<Named[]>(`${catalog}/${regionId}/flavors`);
  const images = await get<Named[]>(`${catalog}/${regionId}/images`);
  const image = images.find(({ metadata }) => metadata.name === 'sim-linux');
  const description = 'Made to find out what making it costs';
  const spec = { projectId, regionId, flavorId: flavor?.metadata.id, imageId: image?.metadata.id };
  const [before = '', after = ''] = JSON.stringify({ metadata: { name: '%', description }, spec }).split('%');
  return { before, after };
}

export function loadOf(job: JobName, server: Server, sample: Sample): Load {
  const { url } = server;
  switch (job) {
    case 'one':
      return { url, method: 'GET', headers, paths: sample.ids.map((id) => `${collection}/${id}`) };
    case 'page':
      return { url, method: 'GET', headers, paths: sample.pages.map((page) => pagePath(server, page)) };
    case 'post':
      return {
        url,
        method: 'POST',
        headers: { ...headers, 'Content-Type': 'application/json' },
        paths: [collection],
        body: sample.body,
      };
  }
}

function pagePath({ program }: Server, page: Record<Paging, string>): string {
  return `${collection}?limit=${pageSize}&${program.paging}=${page[program.paging]}`;
}

interface Answer {
  server: Server;
  bytes: number;
  ids: string;
}

function fail(server: Server, job: JobName, message: string): never {
  throw new Error(`${server.program.label} does not do the job "${job}": ${message}`);
}

/** Status, form and content. */
async function answerOf(job: JobName, server: Server, sample: Sample, turn: number): Promise<Answer> {
  const load = loadOf(job, server, sample);
  const path = load.paths[turn % load.paths.length] ?? '';
  const name = `check-${process.pid}-${turn}`;
  const init: Init =
    load.body === undefined
      ? {}
      : { method: 'POST', headers: load.headers, body: load.body.before + name + load.body.after };
  const { response, text } = await ask(server.url + path, init);
  const wanted = job === 'post' ? 201 : 200;
  if (response.status !== wanted)
    fail(server, job, `${response.status} instead of ${wanted}: ${text.slice(0, 500)}`);
  if (!(response.headers.get('Content-Type') ?? '').startsWith('application/json'))
    fail(server, job, `its Content-Type is ${response.headers.get('Content-Type') ?? 'missing'}`);
  const body = JSON.parse(text) as Shown | Shown[];
  const items = Array.isArray(body) ? body : [body];
  const count = job === 'page' ? pageSize : 1;
  if (items.length !== count || Array.isArray(body) !== (job === 'page'))
    fail(server, job, `${items.length} items instead of ${count}`);
  if (job === 'post' && !server.program.constant && items[0]?.metadata.name !== name)
    fail(server, job, `the created instance is named ${items[0]?.metadata.name ?? ''}, not ${name}`);
  return { server, bytes: Buffer.byteLength(text), ids: items.map(({ metadata }) => metadata.id).join() };
}

/** Compares every server with the first, which is Copse: the same ids, and sizes within 5 %. */
export async function check(
  job: JobName,
  servers: readonly Server[],
  sampleFor: (server: Server) => Sample,
): Promise<number> {
  let bytes = 0;
  for (let turn = 0; turn < 3; turn += 1) {
    const answers: Answer[] = [];
    for (const server of servers) answers.push(await answerOf(job, server, sampleFor(server), turn));
    const [copse] = answers;
    if (copse === undefined) throw new Error('no servers');
    bytes = copse.bytes;
    for (const { server, ...answer } of answers) {
      const limit = job === 'post' && server.program.constant ? Infinity : copse.bytes * 0.05;
      if (Math.abs(answer.bytes - copse.bytes) > limit)
        fail(server, job, `${answer.bytes} bytes against ${copse.bytes}`);
      if (job !== 'post' && !server.program.constant && answer.ids !== copse.ids)
        fail(server, job, 'its ids differ from those of Copse');
    }
  }
  return bytes;
}
