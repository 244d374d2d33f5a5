/** Demonstrates the main features on a running server, showing every call as the equivalent curl command. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { misfits } from '../model/fit.js';
import type { Flavor } from '../model/flavor.js';
import type { Image } from '../model/image.js';
import type { Instance } from '../model/instance.js';
import type { Project } from '../model/project.js';
import type { Region } from '../model/region.js';
import type { Task } from '../model/task.js';
import { type Call, CallError, Client } from './client.js';
import { StatusLine } from './status-line.js';

export interface DemoOptions {
  url: string;
  /** File with the API key. */
  keyFile: string;
  /** Name of the instance to create. */
  name: string;
  /** Whether to stop the instance at the end. */
  stop: boolean;
}

/** Milliseconds between two polls, and until the demo gives up on a step. */
const pollIntervalMs = 500;
const timeoutMs = 300_000;

export async function demo(options: DemoOptions): Promise<void> {
  const key = readFileSync(options.keyFile, 'utf8').trim();
  say(
    `\nYou can run the lines that begin with "curl" as they are, after:\n\n  KEY=$(cat ${quote(options.keyFile)})`,
  );
  const shown = new Client(options.url, key, { onCall: showCurl });
  const quiet = new Client(options.url, key);

  const { flavor, image, region } = await chooseFromCatalog(shown);
  const instance = await createInstance(shown, options.name, { flavor, image, region });
  const path = `/api/v2/instances/${instance.metadata.id}`;
  await followTask(shown, quiet, instance.status.taskId);
  await followConsole(shown, quiet, path);
  await showList(shown, '/api/v2/instances?limit=1');
  if (!options.stop) return;
  say('\n# Stop it: the guest is asked to shut down, and the power is cut if it does not.');
  const { headers } = await shown.post(`${path}/stop`);
  await followTask(shown, quiet, headers.get('location')?.split('/').at(-1));
  const { body } = await shown.get<Instance>(path);
  say(`  ${body.metadata.name} is ${body.status.powerState ?? 'unknown'}`);
  say('\n# All work stays on record. Lists are paginated; each page links to the next.');
  await showList(shown, '/api/v2/tasks?limit=1');
  say(`\nStart it again:  curl -X POST -H "Authorization: Bearer $KEY" ${options.url}${path}/start`);
}

async function chooseFromCatalog(client: Client): Promise<{ region: Region; flavor: Flavor; image: Image }> {
  say('\n# The catalog: projects, regions, and their flavors and images.');
  const projects = await client.get<Project[]>('/api/v2/projects');
  const organization = first(projects.body, 'project').metadata.organizationId;
  const catalog = `/api/v1/organizations/${organization}/regions`;
  const region = first((await client.get<Region[]>(catalog)).body, 'region');
  say(
    `  region ${region.metadata.name}: guests run under ${region.spec.features.accelerator ?? region.spec.type}`,
  );
  const flavors = (await client.get<Flavor[]>(`${catalog}/${region.metadata.id}/flavors`)).body;
  say(
    `  ${flavors.map((f) => `${f.metadata.name} (${f.spec.cpus} CPU, ${f.spec.memoryMiB} MiB)`).join(', ')}`,
  );
  const images = (await client.get<Image[]>(`${catalog}/${region.metadata.id}/images`)).body;
  say(`  ${images.map((i) => `${i.metadata.name} (${i.spec.os.distro} ${i.spec.os.version})`).join(', ')}`);
  // Flavors are sorted by size, so this is the cheapest pair that fits.
  const pairs = flavors.flatMap((flavor) => images.map((image) => ({ region, flavor, image })));
  return first(
    pairs.filter(({ flavor, image }) => misfits(flavor, image).length === 0),
    'flavor that fits an image',
  );
}

async function createInstance(
  client: Client,
  name: string,
  { region, flavor, image }: { region: Region; flavor: Flavor; image: Image },
): Promise<Instance> {
  say('\n# Create an instance. The response comes at once; a task creates the machine.');
  const spec = { regionId: region.metadata.id, flavorId: flavor.metadata.id, imageId: image.metadata.id };
  try {
    return (await client.post<Instance>('/api/v2/instances', { metadata: { name }, spec })).body;
  } catch (error) {
    if (!(error instanceof CallError) || error.code !== 'name_taken') throw error;
    say(`  ${error.message} Using that one.`);
    for await (const instance of client.items<Instance>('/api/v2/instances')) {
      if (instance.metadata.name === name) return instance;
    }
    throw error;
  }
}

async function followTask(shown: Client, quiet: Client, id: string | undefined): Promise<void> {
  if (id === undefined) return;
  say('\n# Follow the task.');
  const path = `/api/v2/tasks/${id}`;
  const line = new StatusLine();
  let task = (await shown.get<Task>(path)).body;
  for (const end = Date.now() + timeoutMs; Date.now() < end; task = (await quiet.get<Task>(path)).body) {
    const step = task.steps.at(-1)?.name;
    const text = `${task.type}: ${task.status}${step === undefined ? '' : `, step ${step}`}`;
    if (task.status === 'succeeded') {
      line.done(text);
      return;
    }
    if (task.status === 'failed' || task.status === 'cancelled')
      throw new Error(`${text}: ${task.cause?.message ?? ''}`);
    line.show(text);
    await sleep(pollIntervalMs);
  }
  throw new Error(`Task ${id} has not finished after ${timeoutMs / 1000} s.`);
}

async function followConsole(shown: Client, quiet: Client, path: string): Promise<void> {
  say('\n# Watch the console until the login prompt appears.');
  const output = `${path}/consoleoutput?length=20`;
  const line = new StatusLine();
  let contents = (await shown.get<{ contents: string }>(output)).body.contents;
  for (const end = Date.now() + timeoutMs; !contents.includes('login:');) {
    if (Date.now() > end) throw new Error(`No login prompt after ${timeoutMs / 1000} s.`);
    line.show('the guest is booting');
    await sleep(pollIntervalMs);
    contents = (await quiet.get<{ contents: string }>(output)).body.contents;
  }
  line.done('the guest is up');
  for (const text of printable(contents).trimEnd().split('\n')) say(`  | ${text}`);
}

async function showList(client: Client, path: string): Promise<void> {
  say('\n# List instances; the Link header has the addresses of the other pages.');
  let pages = 0;
  for await (const { body, headers } of client.pages<Instance | Task>(path)) {
    for (const item of body) {
      say(
        'metadata' in item
          ? `  ${item.metadata.id} ${item.metadata.name} ${item.status.powerState ?? ''}`
          : `  ${item.id} ${item.type} ${item.status}`,
      );
    }
    say(`  Link: ${(headers.get('link') ?? '').replaceAll(', <', ',\n        <')}`);
    pages += 1;
    if (pages === 3) return;
  }
}

function first<T>(items: readonly T[], what: string): T {
  const [item] = items;
  if (item === undefined) throw new Error(`The server offers no ${what}.`);
  return item;
}

function showCurl({ method, url, body }: Call): void {
  const parts = [
    'curl',
    '-s',
    ...(method === 'GET' ? [] : ['-X', method]),
    '-H',
    '"Authorization: Bearer $KEY"',
  ];
  if (body !== undefined)
    parts.push('-H', '"Content-Type: application/json"', '-d', quote(JSON.stringify(body)));
  say(`\n${parts.join(' ')} ${quote(url)}`);
}

function quote(text: string): string {
  return /^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Escape sequences from the guest must not reach the user's terminal. */
function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll(/[^\n\t\u0020-\u007e\u00a0-\uffff]/g, '');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
