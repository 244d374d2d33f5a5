/** The composition root: config → store → regions → connector → tasks → routes → koa. The only file that knows every part. */
import type { RequestListener } from 'node:http';
import { resolve } from 'node:path';
import Koa from 'koa';
import { CatalogKeeper } from './site/catalog-keeper.js';
import { type Config, ConfigError, packageVersion } from './config.js';
import { checkPlaces, makeDataDir } from './config/places.js';
import { CatalogData } from './data/catalog.js';
import { collections, type Connector, createConnector } from './data/connector.js';
import { ChangeFeed } from './data/change-feed.js';
import { KeyUse } from './data/key-use.js';
import { IdempotencyData } from './data/idempotency.js';
import { migrateStore } from './data/migration/index.js';
import { ObservationData } from './data/observation.js';
import { ownerName } from './data/owner.js';
import { TaskQueue } from './data/queue.js';
import type { OpenRegion } from './data/region.js';
import { ScheduleData } from './data/schedule.js';
import { secretFor } from './data/secret.js';
import { Availability, withoutOutages } from './data/store/availability.js';
import type { Store } from './data/store/port.js';
import type { SettingsData } from './data/settings.js';
import { TaskAuditData } from './data/task-audit.js';
import { UserData } from './data/user.js';
import { purgeDeliveries } from './data/webhook.js';
import { WorkerData } from './data/worker.js';
import { firstIdAt } from './model/common.js';
import type { Log } from './model/log.js';
import { type Counts, createMetrics } from './telemetry/metrics.js';
import { firstRun } from './site/first-run.js';
import { RegionDirectory } from './site/region-directory.js';
import { openRegions, type RegionFailure } from './site/region-providers.js';
import { isOnlyHere, registeredAddress, Registration } from './site/registration.js';
import { type ApiOptions, attachHandler } from './route/attach.js';
import type { ServiceState } from './route/service.js';
import { HttpServer } from './http/server.js';
import { openPeople } from './site/people.js';
import { makeRunner } from './site/runner.js';
import { openSettings } from './site/settings.js';
import { assertAddress, openStore, sqliteFile } from './site/stores.js';
import { webhookServices } from './site/webhooks.js';
import { WorkerServer } from './site/worker-server.js';
import { auditing } from './task/auditor.js';
import { housekeeping } from './task/housekeeper.js';
import { Observer } from './task/observer.js';
import { reconciliation } from './task/reconciler.js';
import type { TaskRunner } from './task/runner.js';
import { Schedule } from './task/schedule.js';
import { webhookDispatch } from './task/webhook-dispatcher.js';
import { createTracing, type Tracing } from './telemetry/tracing.js';

export interface AppOptions extends Pick<ApiOptions, 'extraRoutes' | 'multiplexers'> {
  log: Log;
  /** `api` serves requests, `worker` drives regions and runs their tasks, `all`, the default, does both. */
  role?: 'all' | 'api' | 'worker';
  /** Receives the first superuser's key when it is generated: it cannot be read again. */
  onNewKey?: (key: string, user: string, file: string) => void;
  /** Receives the token with which the first superuser can be created over the API. */
  onSetupToken?: (token: string) => void;
  /** Counters of the caller, for the metrics. */
  counts?: Omit<Counts, 'lostSpans'>;
}

/** A running server, and what tests and the command line need from it. */
export interface App {
  /** Of the API, or of the worker's endpoint for API processes. */
  readonly url: string;
  readonly store: Store;
  readonly connector: Connector;
  readonly regions: readonly OpenRegion[];
  /** Ends running requests, hands back tasks, closes the regions. Guests keep running. */
  stop(): Promise<void>;
}

const seconds = 1000;
const days = 24 * 3600 * seconds;

/** Starts everything in the order of dependencies; if a part fails, the ones already started are stopped. */
export async function startApp(config: Config, options: AppOptions): Promise<App> {
  const log = withoutOutages(options.log);
  const availability = new Availability(options.log);
  const undo: (() => Promise<void>)[] = [];
  const stop = async () => {
    const failures: unknown[] = [];
    // A part that fails to stop must not keep the others from stopping.
    for (let step = undo.pop(); step !== undefined; step = undo.pop())
      await step().catch((failure: unknown) => failures.push(failure));
    if (failures.length > 0) throw failures[0];
  };
  try {
    await check(config, options.role);
    return await compose(config, { ...options, log, availability }, undo, stop);
  } catch (error) {
    await stop().catch((failure: unknown) =>
      log.warn({ err: failure }, 'cannot clean up after a failed start'),
    );
    throw error;
  }
}

/** Refuses what cannot work, before anything is written. */
async function check(config: Config, role: AppOptions['role'] = 'all'): Promise<void> {
  await assertAddress(config.store).catch((error: unknown) => {
    throw new ConfigError(`store: ${(error as Error).message}`);
  });
  await checkPlaces(config, role, sqliteFile(config.store, resolve(config.dataDir)));
}

interface ComposeOptions extends AppOptions {
  availability: Availability;
}

/** What the parts of a process share. */
interface Base {
  config: Config;
  options: ComposeOptions;
  store: Store;
  userData: UserData;
  settings: SettingsData;
  tracing: Tracing;
  feed: ChangeFeed;
  owner: string;
  workers: WorkerData;
  /** The regions that this process drives. */
  open: readonly OpenRegion[];
  failures: readonly RegionFailure[];
  undo: (() => Promise<void>)[];
}

async function compose(
  config: Config,
  options: ComposeOptions,
  undo: (() => Promise<void>)[],
  stop: () => Promise<void>,
): Promise<App> {
  const { role = 'all' } = options;
  const base = await lay(config, options, undo);
  const { store, open } = base;
  const secret = await secretFor(store, 'worker');
  const directory = new RegionDirectory(open, store, base.workers, secret, options.log, {
    orphans: role === 'api',
  });
  await directory.start();
  undo.push(() => directory.close());
  const lease = config.tasks.lease * seconds;
  const { log, availability } = options;
  const usableSince = () => availability.usableSince;
  const idempotency = new IdempotencyData(store, base.owner, { lease, usableSince, log });
  undo.push(() => {
    idempotency.close();
    return Promise.resolve();
  });
  const { userData, feed, settings } = base;
  const people = await openPeople(config, store, userData, settings, log);
  const parts = [store, people, idempotency, directory, feed, settings] as const;
  const connector = createConnector(...parts, config, config.auth.onboarding);
  connector.hooks.watchFailures((failure) => log.warn(failure, 'cannot create the instance of a job'));
  await keepCatalogs(base);
  // Before the first request can be accepted: the trail begins here.
  const taskAudit = new TaskAuditData(store);
  await taskAudit.open();
  // Before any work: a region that another worker drives is refused, and what this one observes must not be recorded.
  const workerUrl = role === 'worker' || config.worker.listen ? await serveRegions(base, secret) : '';
  const runner = role === 'api' ? undefined : await work(base, connector, idempotency, taskAudit);
  const url = role === 'worker' ? workerUrl : await serve(base, connector);
  // Claiming stops at once, while the server still drains: a task claimed now would only be handed back.
  undo.push(() => Promise.resolve(runner?.stopClaiming()));
  return { url, store, connector, regions: open, stop };
}

async function lay(config: Config, options: ComposeOptions, undo: (() => Promise<void>)[]): Promise<Base> {
  const { log, availability, role = 'all' } = options;
  const tracing = await createTracing(config.tracing.endpoint, log);
  undo.push(() => tracing.close());
  const dataDir = makeDataDir(config);
  const store = await openStore(config.store, dataDir, collections, {
    checkLimit: config.check.limit * 2 ** 20,
    lockWait: config.locks.wait * seconds,
    log,
    failed: availability.failed,
  });
  undo.push(() => store.close());
  availability.watch(store);
  undo.push(() => availability.close());
  await migrateStore(store, log);
  const feed = new ChangeFeed(store, config.tasks.notice * seconds);
  undo.push(() => feed.close());
  const settings = await openSettings(config, store, feed, log);
  const use = new KeyUse(store);
  undo.push(() => use.close());
  const userData = new UserData(store, await secretFor(store, 'apikey'), () => settings.superUserRule, use);
  // Now, because a request for a plan must write nothing.
  await secretFor(store, 'plan');
  // An API process prints the first key, because the administrator looks there; a worker may start earlier.
  if (role !== 'worker') await firstRun(config, options, store, userData, dataDir);
  const owner = ownerName();
  const workers = new WorkerData(store, owner);
  const { open, failures } =
    role === 'api' ? { open: [], failures: [] } : await openRegions(config, dataDir, store, workers, log);
  undo.push(async () => {
    for (const region of open) await region.provider.close();
  });
  return { config, options, store, userData, settings, tracing, feed, owner, workers, open, failures, undo };
}

/** Runs tasks, watches machines and does the periodic jobs. */
async function work(
  base: Base,
  connector: Connector,
  idempotency: IdempotencyData,
  taskAudit: TaskAuditData,
): Promise<TaskRunner> {
  const { config, options, store, settings, feed, owner, open, tracing, undo } = base;
  const lease = config.tasks.lease * seconds;
  const cooldownMs = config.tasks.backoffMax * seconds;
  const queue = new TaskQueue(store, { owner, lease, cooldownMs, types: () => settings.taskTypes });
  const services = webhookServices(config, store, connector.dispatch);
  const runner = makeRunner(config, queue, open, { tracing, services, connector }, options.log);
  await runner.start();
  undo.push(() => runner.stop());
  // The queue itself announces what this process has accepted.
  feed.subscribe((foreign) => {
    if (foreign) runner.nudge();
  });
  settings.watch(() => runner.nudge());
  const data = new ObservationData(store);
  const observer = new Observer(data, open, options.log);
  observer.start();
  undo.push(() => observer.stop());
  const { expiry, events, drifts, labels, sessions } = connector;
  const parts = { observations: data, drifts, log: options.log };
  const comparisons = reconciliation(open, config.tasks.observe * seconds, parts);
  const chores = housekeeping(
    {
      ...{ events, expiry, idempotency, labels, queue, sessions },
      sweepHooks: (signal) => connector.hooks.sweep(signal),
      purgeDeliveries: (before, signal) => purgeDeliveries(store, firstIdAt(before), signal),
      tidyStore: async () => store.tidy?.(),
    },
    {
      sweep: config.tasks.sweep * seconds,
      keep: config.tasks.keep * days,
      keepEvents: config.events.keep * days,
      keepDeliveries: config.webhooks.keep * days,
    },
    options.log,
  );
  const schedule = new Schedule(
    new ScheduleData(store, owner, lease),
    [
      ...comparisons,
      ...chores,
      webhookDispatch(store, connector.dispatch, feed),
      auditing(taskAudit, feed, options.log),
    ],
    lease,
    options.log,
  );
  schedule.start();
  undo.push(() => schedule.stop());
  return runner;
}

/** Before this process is registered, so that whoever finds the registration also finds the catalog. */
async function keepCatalogs({ store, open, options, undo }: Base): Promise<void> {
  if (open.length === 0) return;
  const keeper = new CatalogKeeper(new CatalogData(store), open, options.log);
  undo.push(() => keeper.close());
  await keeper.start();
}

/** Serves the regions of this process to the API processes of the site. */
async function serveRegions(base: Base, secret: Buffer): Promise<string> {
  const { config, options, workers, tracing, open, undo } = base;
  const { host, port } = config.worker;
  const { log } = options;
  const regions = new Map(open.map(({ id, provider }) => [id, provider]));
  const server = new WorkerServer({
    server: { ...config.server, host, port },
    secret,
    regions,
    tracer: tracing.tracer,
    log,
    storeTrouble: () => options.availability.trouble,
  });
  const listening = await server.listen();
  undo.push(() => server.close());
  const address = registeredAddress(config.worker.address, listening);
  // Processes that share a SQLite file are on one machine.
  if (isOnlyHere(address) && !config.store.startsWith('sqlite:')) {
    const advice =
      'API processes on other machines cannot reach this address; set worker.address (--address)';
    log.warn({ address }, advice);
  }
  const registration = new Registration(workers, open, { address, secret }, log);
  await registration.start();
  undo.push(() => registration.close());
  return listening;
}

/** Serves the API. */
async function serve(base: Base, connector: Connector): Promise<string> {
  const { config, options, store, tracing, feed, open, failures, undo } = base;
  const { availability } = options;
  const koa = new Koa();
  const state = { ready: false, url: '' };
  const { service, observe } = serviceOf(
    () => [...checksOfStore(availability), ...checksOf(open, failures)],
    () => state.ready && !server.draining(),
    availability,
    countsOf(options, tracing),
  );
  const server: HttpServer = new HttpServer(handlerOf(koa), config.server, { log: options.log, observe });
  attachHandler(koa, {
    connector,
    cursorSecret: await secretFor(store, 'cursor'),
    ...optionsOfRoutes(config, options, tracing, () => state.url),
    draining: () => server.draining(),
    service,
    observe,
  });
  // Last, so that it stops first: requests that wait for a task can only end while tasks still run.
  state.url = await server.listen();
  undo.push(() => server.close());
  // Event streams do not end by themselves.
  undo.push(() => feed.close());
  state.ready = true;
  return state.url;
}

/** koa's handler never rejects: it turns what a middleware throws into a response. */
function handlerOf(koa: Koa): RequestListener {
  let handle: ReturnType<Koa['callback']> | undefined;
  return (request, response) => void (handle ??= koa.callback())(request, response);
}

function optionsOfRoutes(config: Config, options: AppOptions, tracing: Tracing, listening: () => string) {
  const { server, auth, events, limits } = config;
  return {
    publicUrl: () => (server.publicUrl === '' ? listening() : server.publicUrl),
    bodyLimit: server.bodyLimit,
    timeout: server.requestTimeout * seconds,
    streams: { heartbeat: events.heartbeat * seconds, lifetime: events.streamLimit * seconds },
    responseCache: config.cache.pages * 2 ** 20,
    corsOrigins: server.corsOrigins,
    ...{ failures: limits, trustedProxies: server.trustedProxies },
    authorizationServers: [
      ...new Set([...auth.oidc.map(({ issuer }) => issuer), ...auth.authorizationServers]),
    ],
    scopes: auth.scopes,
    githubSecret: config.hooks.github.secret,
    tracer: tracing.tracer,
    log: options.log,
    ...(options.extraRoutes === undefined ? {} : { extraRoutes: options.extraRoutes }),
    ...(options.multiplexers === undefined ? {} : { multiplexers: options.multiplexers }),
  };
}

function countsOf({ counts }: AppOptions, tracing: Tracing): Counts {
  return { lostLines: () => 0, strayFailures: () => 0, ...counts, lostSpans: () => tracing.lost() };
}

/** What the service reports about itself, and what observes every request. */
function serviceOf(
  checks: ServiceState['checks'],
  ready: () => boolean,
  availability: Availability,
  counts: Counts,
) {
  const metrics = createMetrics(counts);
  const service = {
    version: packageVersion(),
    started: new Date(),
    ready,
    storeTrouble: () => availability.trouble,
    checks,
    metrics: () => metrics.render(),
  };
  return { service, observe: metrics.observe };
}

/** Listed only while it is unavailable: unlike the regions, it is not a part of this process. */
function checksOfStore({ trouble }: Availability) {
  return trouble === undefined ? [] : [{ name: 'store', status: 'fail' as const, message: trouble }];
}

function checksOf(open: readonly OpenRegion[], failures: readonly RegionFailure[]) {
  const working = open.map(({ name, provider }) => {
    const { accelerator } = provider.features;
    const message = accelerator === undefined ? 'open' : `open, guests run under ${accelerator}`;
    return { name: `region ${name}`, status: 'pass' as const, message };
  });
  const failed = failures.map(({ name }) => ({
    name: `region ${name}`,
    status: 'fail' as const,
    message: 'cannot be opened; see the log',
  }));
  return [...failed, ...working];
}
