/**
 * A whole server in this process: real HTTP, a new SQLite database in memory (or as test/support/store.ts specifies),
 * the simulated region.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type App, type AppOptions, startApp } from '../../src/app.js';
import { type Config, loadConfig } from '../../src/config.js';
import type { Flavor } from '../../src/model/flavor.js';
import type { Image } from '../../src/model/image.js';
import type { Instance } from '../../src/model/instance.js';
import type { Network } from '../../src/model/network.js';
import type { Project } from '../../src/model/project.js';
import type { Region } from '../../src/model/region.js';
import type { Task } from '../../src/model/task.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import { Api, checkedFetch, learnDocument, type Reply } from './conform.js';
import { eventually } from './eventually.js';
import { RecordingLog } from './log.js';
import { testAddress } from './store.js';

type Tree = Record<string, unknown>;

export const adminKey = 'the-key-of-the-first-superuser-0123456789';

/** What the default project has for creating instances. */
export interface Catalog {
  organizationId: string;
  projectId: string;
  regionId: string;
  networkId: string;
  /** Ids by name. */
  flavors: Record<string, string>;
  images: Record<string, string>;
}

export interface ServerOptions extends Pick<AppOptions, 'extraRoutes' | 'multiplexers' | 'onNewKey'> {
  /** Options that override those of a test server, as a tree. */
  flags?: Tree;
  /** A folder to use and keep; by default a new one that is removed when the server stops. */
  dataDir?: string;
  /** Uses the store of the flags, whatever the engine of the run. */
  ownStore?: boolean;
  /** Leaves bugs in the log to the test. */
  defectsExpected?: boolean;
}

export class TestServer {
  readonly app: App;
  readonly config: Config;
  readonly log: RecordingLog;
  readonly admin: Api;
  readonly catalog: Catalog;
  readonly #end: () => Promise<void>;

  constructor(app: App, config: Config, log: RecordingLog, catalog: Catalog, end: () => Promise<void>) {
    this.app = app;
    this.config = config;
    this.log = log;
    this.admin = Api.withKey(app.url, adminKey);
    this.catalog = catalog;
    this.#end = end;
  }

  get url(): string {
    return this.app.url;
  }

  /** The cloud behind the simulated region, to program failures and to inspect state behind the API. */
  get cloud(): SimulatedRegion {
    const provider = this.app.regions
      .map((region) => region.provider)
      .find((one) => one instanceof SimulatedRegion);
    if (provider === undefined) throw new Error('this server has no simulated region');
    return provider;
  }

  /** Stops the server, and fails if it logged a bug. */
  stop(): Promise<void> {
    return this.#end();
  }

  /** A body that creates an instance. */
  instanceBody(name: string, { metadata = {}, spec = {} }: { metadata?: Tree; spec?: Tree } = {}) {
    const { regionId, flavors, images } = this.catalog;
    return {
      metadata: { name, ...metadata },
      spec: { regionId, flavorId: flavors['tiny'], imageId: images['sim-linux'], ...spec },
    };
  }

  /** An instance that is accepted, but may not have a machine yet. */
  async createInstance(
    name: string,
    more: { metadata?: Tree; spec?: Tree } = {},
    api = this.admin,
  ): Promise<Instance> {
    const reply = await api.post<Instance>('/api/v2/instances', this.instanceBody(name, more));
    expect(reply.status, reply.text).to.equal(201);
    return reply.body;
  }

  /** A running instance without open tasks. */
  async running(
    name: string,
    more: { metadata?: Tree; spec?: Tree } = {},
    api = this.admin,
  ): Promise<Instance> {
    const { metadata } = await this.createInstance(name, more, api);
    return this.settled(metadata.id, (instance) => instance.status.powerState === 'Running', api);
  }

  /** The instance once it has no open tasks and the condition holds. */
  settled(
    id: string,
    holds: (instance: Instance) => boolean = () => true,
    api = this.admin,
  ): Promise<Instance> {
    return eventually(
      async () => {
        const { body } = await api.get<Instance>(`/api/v2/instances/${id}`);
        return body.status.taskId === undefined && holds(body) ? body : undefined;
      },
      { what: `instance ${id} as expected` },
    );
  }

  /** The task once it has ended; given its address as in Location, or its id. */
  async ended(address: string | null | undefined, api = this.admin): Promise<Task> {
    const id = address?.split('/').at(-1) ?? '';
    return eventually(
      async () => {
        const { body } = await api.get<Task>(`/api/v2/tasks/${id}`);
        return ['succeeded', 'failed', 'cancelled'].includes(body.status) ? body : undefined;
      },
      { what: `the end of task ${id}` },
    );
  }

  async task(address: string | null | undefined): Promise<Task> {
    const { body } = await this.admin.get<Task>(`/api/v2/tasks/${address?.split('/').at(-1) ?? ''}`);
    return body;
  }

  /** Deletes the instance and waits until it is gone. */
  async deleteInstance(id: string): Promise<void> {
    await this.admin.delete(`/api/v2/instances/${id}?purge=true`);
    await eventually(async () => (await this.admin.get(`/api/v2/instances/${id}`)).status === 404);
  }
}

function merged(base: Tree, over: Tree): Tree {
  const isTree = (value: unknown): value is Tree =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const result: Tree = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = result[key];
    result[key] = isTree(below) && isTree(value) ? merged(below, value) : value;
  }
  return result;
}

/** The configuration of a test server: a free port, no file outside `dataDir`, quick retries. */
export function testConfig(dataDir: string, flags: Tree = {}): Config {
  const base = {
    server: { port: 0 },
    dataDir,
    store: 'sqlite::memory:',
    adminKey,
    regions: ['simulated'],
    simulated: { delay: 1 },
    tasks: { backoff: 0.01, backoffMax: 0.05, poll: 0.2, grace: 2 },
  };
  return loadConfig({ environment: {}, flags: merged(base, flags) });
}

export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const { flags = {}, extraRoutes, multiplexers, onNewKey, defectsExpected = false } = options;
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'copse-test-'));
  const log = new RecordingLog();
  let app: App | undefined;
  const given = flags['store'] as string | undefined;
  const store =
    options.ownStore === true && given !== undefined
      ? { address: given, clear: () => Promise.resolve() }
      : await testAddress(given, dataDir);
  const stop = async () => {
    await app?.stop();
    await store.clear();
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  const end = async () => {
    await stop();
    if (!defectsExpected) expect(log.defects(), 'defects in the log').to.deep.equal([]);
  };
  try {
    const config = testConfig(dataDir, { ...flags, store: store.address });
    app = await startApp(config, {
      log,
      ...(extraRoutes === undefined ? {} : { extraRoutes }),
      ...(multiplexers === undefined ? {} : { multiplexers }),
      ...(onNewKey === undefined ? {} : { onNewKey }),
    });
    await learnDocument(app.url);
    return new TestServer(app, config, log, await catalogOf(app), end);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function catalogOf(app: App): Promise<Catalog> {
  const get = async <T>(path: string): Promise<T[]> => {
    const response = await checkedFetch(app.url + path, { headers: { Authorization: `Bearer ${adminKey}` } });
    return (await response.json()) as T[];
  };
  const project = only(
    (await get<Project>('/api/v2/projects')).filter((one) => one.metadata.name === 'default'),
  );
  const { organizationId } = project.metadata;
  const address = `/api/v1/organizations/${organizationId}/regions`;
  const region = only(await get<Region>(address));
  const network = only(
    (await get<Network>('/api/v2/networks')).filter(
      (one) => one.metadata.projectId === project.metadata.id && one.status.regionId === region.metadata.id,
    ),
  );
  const byName = (items: readonly (Flavor | Image)[]) =>
    Object.fromEntries(items.map(({ metadata }) => [metadata.name, metadata.id]));
  return {
    organizationId,
    projectId: project.metadata.id,
    regionId: region.metadata.id,
    networkId: network.metadata.id,
    flavors: byName(await get<Flavor>(`${address}/${region.metadata.id}/flavors`)),
    images: byName(await get<Image>(`${address}/${region.metadata.id}/images`)),
  };
}

function only<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined || items.length !== 1) throw new Error(`expected one item, found ${items.length}`);
  return item;
}

/** The message of a refused call. */
export function messageOf(reply: Reply): string {
  return (reply.body as { message: string }).message;
}
