/** Who is asked about a region that several processes drive, and where. Real gates, a real store. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { expect } from 'chai';
import { CatalogKeeper } from '../../src/site/catalog-keeper.js';
import { CatalogData, catalogs } from '../../src/data/catalog.js';
import { setUpRegion } from '../../src/data/setup.js';
import type { Store } from '../../src/data/store/port.js';
import { WorkerData } from '../../src/data/worker.js';
import { type OpenRegion, regions, unbindRegion } from '../../src/data/region.js';
import { ConfigError, loadConfig } from '../../src/config.js';
import { passingTracer } from '../../src/model/trace.js';
import { RemoteRegion } from '../../src/region/remote/index.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import { isOnlyHere, registeredAddress, Registration } from '../../src/site/registration.js';
import { RegionDirectory } from '../../src/site/region-directory.js';
import { openRegions } from '../../src/site/region-providers.js';
import { WorkerServer } from '../../src/site/worker-server.js';
import { eventually, failureOf } from '../support/eventually.js';
import { scratchFolder } from '../support/region.js';
import { testConfig } from '../support/server.js';
import { RecordingLog } from '../support/log.js';
import { openTestStore } from '../support/store.js';

const secret = Buffer.alloc(32, 7);

describe('a region that is named without its type', () => {
  let store: Store;
  let folder: string;
  const log = new RecordingLog();

  beforeEach(async () => {
    folder = scratchFolder('named');
    store = await openTestStore();
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  const open = (...names: string[]) =>
    openRegions(testConfig(folder, { regions: names }), folder, store, new WorkerData(store, 'me'), log);

  it('has the type that the store knows of it', async () => {
    const { id } = await setUpRegion(store, 'rack1', 'simulated');
    const { open: found } = await open('rack1');
    expect(found.map((one) => [one.id, one.name, one.provider.type])).to.deep.equal([
      [id, 'rack1', 'simulated'],
    ]);
    for (const { provider } of found) await provider.close();
  });

  it('is refused, with what to write, while the store does not know it; nothing is opened then', async () => {
    const failure = await failureOf(open('simulated', 'rack2'));
    expect(failure).to.be.instanceOf(ConfigError);
    expect(failure.message).to.include('rack2=local or rack2=simulated');
    expect(await store.count(regions, {})).to.equal(0);
  });
});

describe('the machines of a region', () => {
  let store: Store;
  const folders: string[] = [];
  const log = new RecordingLog();

  const folder = (name: string) => {
    const made = scratchFolder(name);
    folders.push(made);
    return made;
  };
  const open = async (at: string, ...names: string[]) => {
    const flags = { regions: names, store: 'sqlite:site.sqlite' };
    const { open: found, failures } = await openRegions(
      testConfig(at, flags),
      at,
      store,
      new WorkerData(store, 'me'),
      log,
    );
    for (const { provider } of found) await provider.close();
    return { names: found.map(({ name }) => name), failures };
  };

  beforeEach(async () => {
    store = await openTestStore();
  });
  afterEach(async () => {
    await store.close();
    for (const made of folders.splice(0)) rmSync(made, { recursive: true });
  });

  it('are where they were first: another folder is refused, the same is taken again, and the other regions go on', async () => {
    const [first, second] = [folder('first'), folder('second')];
    await open(first, 'rack1=simulated');
    expect((await failureOf(open(second, 'rack1=simulated'))).message).to.include('another data folder');
    const { names, failures } = await open(second, 'rack1=simulated', 'rack2=simulated');
    expect(names).to.deep.equal(['rack2']);
    expect(failures.map(({ name }) => name)).to.deep.equal(['rack1']);
    expect((await open(first, 'rack1')).names).to.deep.equal(['rack1']);
  });

  it('are where they are said to be from now on, once the region is unbound', async () => {
    const [lost, fresh] = [folder('lost'), folder('fresh')];
    await open(lost, 'rack1=simulated');
    expect(await unbindRegion(store, 'rack1')).to.equal(true);
    expect((await open(fresh, 'rack1')).names).to.deep.equal(['rack1']);
    await failureOf(open(lost, 'rack1'));
    expect(await unbindRegion(store, 'rack9')).to.equal(false);
  });

  it('belong to one folder when two come first at the same moment', async () => {
    const ends = await Promise.allSettled(
      ['one', 'two', 'three', 'four'].map((name) => open(folder(name), 'rack1=simulated')),
    );
    expect(ends.filter(({ status }) => status === 'fulfilled')).to.have.lengthOf(1);
  });

  it('are not those of another type', async () => {
    const place = folder('typed');
    await open(place, 'rack1=simulated');
    const failure = await failureOf(open(place, 'rack1=local'));
    expect(failure.message).to.include('simulated');
  });
});

describe('the registration of workers', () => {
  let store: Store;
  let log: RecordingLog;
  let opened: OpenRegion;
  const undo: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    store = await openTestStore();
    log = new RecordingLog();
    const { id, creationTime } = await setUpRegion(store, 'rack1', 'simulated');
    const options = { file: ':memory:', delay: 0, failureRate: 0, seed: 1, log };
    const provider = new SimulatedRegion({ regionId: id, ...options });
    await provider.open();
    opened = { id, name: 'rack1', creationTime, provider };
  });
  afterEach(async () => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
    await opened.provider.close();
    await store.close();
  });

  /** A worker of the region, as far as others see it. `die` ends it without a word. */
  async function worker(name: string) {
    const served = new Map([[opened.id, opened.provider]]);
    const server = new WorkerServer({
      server: { ...loadConfig({ environment: {} }).server, port: 0 },
      secret,
      regions: served,
      tracer: passingTracer,
      log,
    });
    const address = await server.listen();
    const options = { address, secret, intervalMs: 20 };
    const registration = new Registration(new WorkerData(store, name), [opened], options, log);
    await registration.start();
    const die = async () => {
      await registration.close();
      await server.close();
    };
    undo.push(die);
    return { address, die };
  }

  const asked = async () => (await new WorkerData(store, 'reader').of(opened.id))?.address;

  it('goes to another worker of the region when the one that is asked dies, and never from one that answers', async () => {
    const first = await worker('first');
    const second = await worker('second');
    const third = await worker('third');
    expect(await asked()).to.equal(third.address);
    await second.die();
    // The others have looked by now, several times.
    let calls = 0;
    const { provider } = opened;
    const describeServers = provider.describeServers.bind(provider);
    provider.describeServers = (ids, signal) => {
      calls += 1;
      return describeServers(ids, signal);
    };
    await eventually(() => calls > 3);
    expect(await asked()).to.equal(third.address);
    await third.die();
    await eventually(async () => (await asked()) === first.address, { what: 'the first to be asked' });
  });

  it('is found anew when what the region can do has changed, though its address has not', async () => {
    const data = new WorkerData(store, 'me');
    const row = { regionId: opened.id, address: 'http://127.0.0.1:9' };
    const { features } = opened.provider;
    await data.register({ ...row, features });
    const directory = new RegionDirectory([], store, data, secret, log);
    await directory.start();
    undo.push(() => directory.close());
    const found = directory.find(opened.id);
    expect(found?.provider.features).to.deep.equal(features);
    await data.register({ ...row, features: { ...features, accelerator: 'kvm' } });
    await eventually(() => directory.find(opened.id)?.provider.features.accelerator === 'kvm', {
      what: 'the new features',
    });
  });

  it('leaves the catalog known when a worker comes back under another address', async () => {
    const data = new WorkerData(store, 'me');
    const { address, die } = await worker('first');
    const directory = new RegionDirectory([], store, data, secret, log);
    await directory.start();
    undo.push(() => directory.close());
    const principal = { organizationId: 'o', projectIds: [] };
    const flavors = () =>
      directory.find(opened.id)?.provider.listFlavors(principal, new AbortController().signal);
    const known = await flavors();
    expect(known).to.not.be.empty;
    await die();
    // There, but not answering yet.
    await data.register({
      regionId: opened.id,
      address: 'http://127.0.0.1:9',
      features: opened.provider.features,
    });
    await eventually(
      () => {
        const { provider } = directory.find(opened.id) ?? {};
        return provider instanceof RemoteRegion && provider.address !== address;
      },
      { what: 'the new address' },
    );
    expect(await flavors()).to.deep.equal(known);
  });

  it('gives what the region offered last to who has never met its worker, with any principal', async () => {
    const keeper = new CatalogKeeper(new CatalogData(store), [opened], log, 20);
    await keeper.start();
    undo.push(() => keeper.close());
    const { features } = opened.provider;
    await new WorkerData(store, 'me').register({
      regionId: opened.id,
      address: 'http://127.0.0.1:9',
      features,
    });
    const directory = new RegionDirectory([], store, new WorkerData(store, 'me'), secret, log);
    await directory.start();
    undo.push(() => directory.close());
    const { provider } = directory.find(opened.id) ?? {};
    const { signal } = new AbortController();
    for (const organizationId of ['one', 'another']) {
      const principal = { organizationId, projectIds: [] };
      const offered = await opened.provider.listImages(principal, signal);
      expect(await provider?.listImages(principal, signal)).to.deep.equal(offered);
    }
    expect(provider?.answers).to.equal(false);
  });

  it('keeps what the region offers up to date, and writes nothing while it stays', async () => {
    const data = new CatalogData(store);
    let flavors = (
      await opened.provider.listFlavors({ organizationId: '', projectIds: [] }, new AbortController().signal)
    ).slice(0, 1);
    const provider = Object.assign(Object.create(opened.provider) as typeof opened.provider, {
      listFlavors: () => Promise.resolve(flavors),
      listImages: () => Promise.resolve([]),
    });
    const keeper = new CatalogKeeper(data, [{ ...opened, provider }], log, 10);
    await keeper.start();
    undo.push(() => keeper.close());
    expect(await data.of(opened.id)).to.deep.include({ flavors, images: [] });
    flavors = [];
    await eventually(async () => (await data.of(opened.id))?.flavors.length === 0, { what: 'the change' });
    expect((await store.get(catalogs, opened.id))?.revision).to.equal(2);
  });

  it('does not hold up the end of its process while it is asked what it offers', async () => {
    let asked = 0;
    const provider = Object.assign(Object.create(opened.provider) as typeof opened.provider, {
      listFlavors: async (_principal: unknown, signal: AbortSignal) => {
        if ((asked += 1) > 1) await once(signal, 'abort');
        signal.throwIfAborted();
        return [];
      },
    });
    const keeper = new CatalogKeeper(new CatalogData(store), [{ ...opened, provider }], log, 10);
    await keeper.start();
    await eventually(() => asked === 2);
    const began = performance.now();
    await keeper.close();
    expect(performance.now() - began).to.be.below(2000);
  });

  it('of real machines is refused to a second worker while the first answers', async () => {
    const first = await worker('first');
    const local = Object.assign(Object.create(opened.provider) as typeof opened.provider, { type: 'local' });
    const second = new Registration(
      new WorkerData(store, 'second'),
      [{ ...opened, provider: local }],
      { address: 'http://127.0.0.1:9', secret },
      log,
    );
    undo.push(() => second.close());
    const failure = await failureOf(second.start());
    expect(failure.message).to.include('rack1').and.to.include(first.address);
    expect(await asked()).to.equal(first.address);
    await first.die();
    await second.start();
    expect(await asked()).to.equal('http://127.0.0.1:9');
  });

  it('names the machine where a worker listens on any of its addresses', () => {
    expect(registeredAddress('', 'http://0.0.0.0:8090')).to.equal(`http://${hostname()}:8090`);
    expect(registeredAddress('', 'http://[::]:8090')).to.equal(`http://${hostname()}:8090`);
    expect(registeredAddress('', 'http://10.0.0.1:8090')).to.equal('http://10.0.0.1:8090');
    expect(registeredAddress('https://rack1:8090/', 'http://0.0.0.0:8090')).to.equal('https://rack1:8090');
  });

  it('knows an address that only this machine can reach', () => {
    for (const address of ['http://127.0.0.1:80', 'http://localhost', 'http://[::1]:80', 'https://127.1.2.3'])
      expect(isOnlyHere(address), address).to.be.true;
    for (const address of ['http://10.0.0.1:80', 'http://localhost.example', 'http://rack1:80'])
      expect(isOnlyHere(address), address).to.be.false;
  });
});
