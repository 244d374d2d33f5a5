/** Who is asked about a region that several processes drive, and where. Real gates, a real store. */
import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { expect } from 'chai';
import { setUpRegion } from '../src/data/setup.js';
import type { Store } from '../src/data/store/port.js';
import { WorkerData } from '../src/data/worker.js';
import { type OpenRegion, regions } from '../src/data/region.js';
import { ConfigError } from '../src/config.js';
import { passingTracer } from '../src/model/trace.js';
import { RegionGate } from '../src/region/remote/gate.js';
import { SimulatedRegion } from '../src/region/simulated/index.js';
import { isOnlyHere, registeredAddress, Registration } from '../src/registration.js';
import { openRegions, RegionDirectory } from '../src/regions.js';
import { eventually, failureOf } from './support/eventually.js';
import { scratchFolder } from './support/region.js';
import { testConfig } from './support/server.js';
import { RecordingLog } from './support/log.js';
import { openTestStore } from './support/store.js';

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
    openRegions(testConfig(folder, { regions: names }), folder, store, log);

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
    const gate = new RegionGate({
      host: '127.0.0.1',
      port: 0,
      secret,
      regions: served,
      tracer: passingTracer,
      log,
    });
    const address = await gate.listen();
    const options = { address, secret, every: 20 };
    const registration = new Registration(new WorkerData(store, name), [opened], options, log);
    await registration.start();
    const die = async () => {
      await registration.close();
      await gate.close();
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
