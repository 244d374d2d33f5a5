/** A region of another process: the worker's server, and the provider that asks it. Over real HTTP. */
import { expect } from 'chai';
import { loadConfig } from '../../src/config.js';
import { silentLog } from '../../src/model/log.js';
import type { Tracer } from '../../src/model/trace.js';
import { RegionError } from '../../src/region/provider.js';
import { RemoteRegion, type RemoteOptions } from '../../src/region/remote/index.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import { WorkerServer } from '../../src/site/worker-server.js';
import { eventually, failureOf } from '../support/eventually.js';
import { askWorker } from '../support/worker.js';

const regionId = '0193a5c0-0000-7000-8000-000000000001';
const serverId = '0193a5c0-0000-7000-8000-000000000002';
const secret = Buffer.alloc(32, 7);
const principal = { organizationId: regionId, projectIds: [] };
const { signal } = new AbortController();
const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

describe('a region that another process drives', () => {
  let region: SimulatedRegion;
  let worker: WorkerServer;
  let address: string;
  let spans: { name: string; parent: string | undefined; failed?: boolean }[];
  const tracer: Tracer = {
    start(name, _kind, parent) {
      const span: (typeof spans)[number] = { name, parent };
      spans.push(span);
      return { traceparent: parent, traceId: undefined, end: ({ failed }) => void (span.failed = failed) };
    },
  };

  beforeEach(async () => {
    spans = [];
    region = new SimulatedRegion({
      regionId,
      file: ':memory:',
      delay: 0,
      failureRate: 0,
      seed: 1,
      log: silentLog,
    });
    await region.open();
    const regions = new Map([[regionId, region]]);
    worker = new WorkerServer({
      server: { ...loadConfig({ environment: {} }).server, port: 0 },
      secret,
      regions,
      tracer,
      log: silentLog,
    });
    address = await worker.listen();
  });
  afterEach(async () => {
    await worker.close();
    await region.close();
  });

  function remote(change: Partial<RemoteOptions> = {}): RemoteRegion {
    return new RemoteRegion({
      regionId,
      type: 'simulated',
      features: region.features,
      address,
      secret,
      ...change,
    });
  }

  async function kindOf(work: Promise<unknown>): Promise<string> {
    const failure = await failureOf(work);
    if (failure instanceof RegionError) return failure.kind;
    throw failure;
  }

  it('answers as the region itself: catalogs, servers, console, and what is absent', async () => {
    const [flavor] = await region.listFlavors(principal, signal);
    const images = await region.listImages(principal, signal);
    expect(await remote().listFlavors(principal, signal)).to.deep.equal(
      await region.listFlavors(principal, signal),
    );
    expect(await remote().listImages(principal, signal)).to.deep.equal(images);
    const image = images.find(({ metadata }) => metadata.name === 'sim-linux');
    const request = {
      id: serverId,
      hostname: 'a',
      flavorId: flavor?.metadata.id ?? '',
      imageId: image?.metadata.id ?? '',
      tags: [],
    };
    await region.ensureServer(request, signal);
    const servers = await region.describeServers(undefined, signal);
    expect(servers).to.have.length(1);
    expect(await remote().describeServers(undefined, signal)).to.deep.equal(servers);
    expect(await remote().describeServers([], signal)).to.deep.equal([]);
    const told = await region.consoleOutput(serverId, { lines: 3 }, signal);
    expect(await remote().consoleOutput(serverId, { lines: 3 }, signal)).to.deep.equal(told);
    expect(await kindOf(remote().consoleOutput(regionId, {}, signal))).to.equal('not_found');
  });

  it('passes on what kind of failure it was', async () => {
    for (const error of ['busy', 'terminal', 'transient', 'unsupported'] as const) {
      region.program({ verb: 'consoleOutput', error, times: 1 });
      expect(await kindOf(remote().consoleOutput(serverId, {}, signal))).to.equal(error);
    }
  });

  it('changes nothing: that is for the task queue', async () => {
    for (const work of [
      remote().ensureServer(),
      remote().deleteServer(),
      remote().startServer(),
      remote().stopServer(),
      remote().rebootServer(),
    ])
      expect(await kindOf(work)).to.equal('unsupported');
  });

  it('tells its catalog from memory while the worker is away, to whom it has told it, and nothing else', async () => {
    const asking = remote({ fresh: 0 });
    const images = await asking.listImages(principal, signal);
    region.program({ verb: 'describeServers', error: 'terminal', times: 1 });
    await worker.close();
    expect(await asking.listImages(principal, signal)).to.deep.equal(images);
    expect(await kindOf(asking.listImages({ ...principal, projectIds: [serverId] }, signal))).to.equal(
      'transient',
    );
    expect(await kindOf(asking.listFlavors(principal, signal))).to.equal('transient');
    expect(await kindOf(asking.describeServers(undefined, signal))).to.equal('transient');
  });

  it('is asked at most once in a while for its catalog', async () => {
    const asking = remote({ fresh: 60_000 });
    const images = await asking.listImages(principal, signal);
    await worker.close();
    expect(await asking.listImages(principal, signal)).to.deep.equal(images);
    const traced = asking.traced(traceparent);
    expect(await traced.listImages(principal, signal)).to.deep.equal(images);
    const other = remote({ fresh: 60_000 });
    expect(await kindOf(other.listImages(principal, signal))).to.equal('transient');
  });

  it('ends with the caller’s own reason on abort', async () => {
    const leaving = new AbortController();
    const reason = new Error('left');
    leaving.abort(reason);
    expect(await failureOf(remote().describeServers(undefined, leaving.signal))).to.equal(reason);
  });

  it('ends a call that is under way when the worker stops', async () => {
    region.program({ verb: 'describeServers', delay: 600_000, times: 1 });
    const begun = spans.length;
    const asked = kindOf(remote().describeServers(undefined, signal));
    await eventually(() => spans.length > begun);
    await worker.close();
    expect(await asked).to.equal('transient');
  });

  it('has a span for each call, below that of the request, which fails when the region fails and not when it refuses', async () => {
    region.program({ verb: 'describeServers', error: 'busy', times: 1 });
    const asking = remote().traced(traceparent);
    await failureOf(asking.describeServers(undefined, signal));
    await asking.describeServers(undefined, signal);
    await failureOf(asking.consoleOutput(serverId, {}, signal));
    expect(spans).to.deep.equal([
      { name: 'region describeServers', parent: traceparent, failed: true },
      { name: 'region describeServers', parent: traceparent, failed: false },
      { name: 'region consoleOutput', parent: traceparent, failed: false },
    ]);
  });

  it('is notified when its caller leaves, and need not continue', async () => {
    let given: AbortSignal | undefined;
    region.describeServers = (_ids, asked) => {
      given = asked;
      return new Promise(() => undefined);
    };
    const leaving = new AbortController();
    const asked = failureOf(remote().describeServers(undefined, leaving.signal));
    await eventually(() => given !== undefined);
    expect(given?.aborted).to.be.false;
    leaving.abort(new Error('left'));
    expect((await asked).message).to.equal('left');
    await eventually(() => given?.aborted === true, { what: 'the worker to learn of it' });
  });

  it('lets nobody in without the secret, and takes no other path, method, call or too large a body', async () => {
    const call = async (path: string, init: RequestInit = {}) => {
      const headers = {
        Authorization: `Bearer ${secret.toString('base64url')}`,
        'Content-Type': 'application/json',
      };
      const response = await askWorker(address + path, { method: 'POST', headers, body: '[null]', ...init });
      await response.body?.cancel();
      return response.status;
    };
    const path = `/regions/${regionId}/describeServers`;
    expect(await call(path)).to.equal(200);
    expect(await call(path, { headers: {} })).to.equal(401);
    expect(await call(path, { headers: { Authorization: `Bearer ${'A'.repeat(43)}` } })).to.equal(401);
    expect(await call(path, { method: 'PUT' })).to.equal(404);
    expect(await call(`/regions/${serverId}/describeServers`)).to.equal(404);
    expect(await call(`/regions/${regionId}/deleteServer`)).to.equal(404);
    expect(await call(`/regions/${regionId}/constructor`)).to.equal(404);
    expect(await call(path, { body: 'no json' })).to.equal(400);
    expect(await call(path, { body: JSON.stringify([['x'.repeat(300_000)]]) })).to.equal(413);
    expect(await call('/health', { method: 'GET', headers: {}, body: null })).to.equal(200);
  });
});
