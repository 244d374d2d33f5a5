import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { silentLog } from '../../src/model/log.js';
import { RegionError, type ServerEvent, type ServerRequest } from '../../src/region/provider.js';
import { SimulatedRegion, type SimulatedRegionOptions } from '../../src/region/simulated/index.js';
import { eventually } from '../support/eventually.js';
import { failureOf, patient, principal, rejectionOf, scratchFolder, waitFor } from '../support/region.js';

describe('simulated region', () => {
  let folder: string;
  let open: SimulatedRegion[];

  beforeEach(() => {
    folder = scratchFolder('simulated');
    open = [];
  });
  afterEach(async () => {
    for (const region of open) await region.close();
    rmSync(folder, { recursive: true });
  });

  const make = async (change: Partial<SimulatedRegionOptions> = {}): Promise<SimulatedRegion> => {
    const region = new SimulatedRegion({
      regionId: 'region',
      file: join(folder, 'cloud.sqlite'),
      delay: 0,
      failureRate: 0,
      seed: 1,
      log: silentLog,
      ...change,
    });
    await region.open();
    open.push(region);
    return region;
  };
  const requestOf = async (region: SimulatedRegion, id: string = randomUUID()): Promise<ServerRequest> => {
    const [flavor] = await region.listFlavors(principal, patient());
    const image = (await region.listImages(principal, patient())).find(
      ({ metadata }) => metadata.name === 'sim-linux',
    );
    if (flavor === undefined || image === undefined) throw new Error('the catalog is empty');
    return { id, hostname: 'sim', flavorId: flavor.metadata.id, imageId: image.metadata.id, tags: [] };
  };
  const ensure = async (region: SimulatedRegion): Promise<string> => {
    const request = await requestOf(region);
    await region.ensureServer(request, patient());
    return request.id;
  };
  const stateOf = async (region: SimulatedRegion, id: string): Promise<string | undefined> =>
    (await region.describeServers([id], patient()))[0]?.powerState;

  describe('program', () => {
    it('delays an act, and shows the states on the way', async () => {
      const region = await make();
      const request = await requestOf(region);
      region.program({ verb: 'ensureServer', delay: 50, times: 1 });
      region.program({ verb: 'stopServer', delay: 50 });
      const made = region.ensureServer(request, patient());
      await waitFor(
        'it is building',
        async () => (await stateOf(region, request.id)) === 'Building',
        1000,
        1,
      );
      expect(await made).to.include({ powerState: 'Running' });
      const stopped = region.stopServer(request.id, patient());
      await waitFor(
        'it is stopping',
        async () => (await stateOf(region, request.id)) === 'Stopping',
        1000,
        1,
      );
      expect(await stopped).to.include({ powerState: 'Stopped' });
    });

    it('fails in place of an act, as often as it was told to', async () => {
      const region = await make();
      const id = await ensure(region);
      region.program({ verb: 'stopServer', serverId: id, error: 'busy', times: 2 });
      expect(await failureOf(region.stopServer(id, patient()))).to.equal('busy');
      expect(await failureOf(region.stopServer(id, patient()))).to.equal('busy');
      expect(await stateOf(region, id)).to.equal('Running');
      expect(await region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
    });

    it('fails after the act when it is to be ambiguous', async () => {
      const region = await make();
      const request = await requestOf(region);
      region.program({ verb: 'ensureServer', error: 'transient', ambiguous: true, times: 1 });
      region.program({ verb: 'deleteServer', error: 'transient', ambiguous: true, times: 1 });
      expect(await failureOf(region.ensureServer(request, patient()))).to.equal('transient');
      expect(region.servers()).to.have.length(1);
      expect(await region.ensureServer(request, patient())).to.include({ powerState: 'Running' });
      expect(region.servers()).to.have.length(1);
      expect(await failureOf(region.deleteServer(request.id, patient()))).to.equal('transient');
      expect(region.servers()).to.deep.equal([]);
      await region.deleteServer(request.id, patient());
    });

    it('meets only the server and the verb that it is for, until it is cleared', async () => {
      const region = await make();
      const [one, other] = [await ensure(region), await ensure(region)];
      region.program({ verb: 'consoleOutput', serverId: one, error: 'unsupported' });
      region.program({ verb: 'describeServers', error: 'transient', times: 1 });
      expect(await failureOf(region.consoleOutput(one, {}, patient()))).to.equal('unsupported');
      expect(await failureOf(region.consoleOutput(one, {}, patient()))).to.equal('unsupported');
      expect((await region.consoleOutput(other, {}, patient())).contents).to.match(/sim login: $/);
      expect(await failureOf(region.describeServers(undefined, patient()))).to.equal('transient');
      expect(await region.describeServers(undefined, patient())).to.have.length(2);
      region.clearProgram();
      await region.consoleOutput(one, {}, patient());
    });
  });

  describe('random failures', () => {
    const outcomes = async (region: SimulatedRegion, seed: number): Promise<string> => {
      let text = '';
      for (let index = 0; index < 200; index += 1) {
        const id = `${seed}-${index}`;
        const request = { ...(await requestOf(region)), id };
        text += await region.ensureServer(request, patient()).then(
          () => '.',
          (error: unknown) => (error instanceof RegionError && error.kind === 'transient' ? 'x' : '?'),
        );
      }
      return text;
    };

    it('are the same for the same seed, and about as many as asked for', async () => {
      const change = { file: ':memory:', failureRate: 0.3 };
      const first = await outcomes(await make(change), 1);
      expect(await outcomes(await make(change), 1)).to.equal(first);
      expect(await outcomes(await make({ ...change, seed: 2 }), 1)).to.not.equal(first);
      expect(first).to.not.include('?');
      expect(first.split('x').length - 1).to.be.within(35, 85);
    });

    it('come with delays that vary as far as they may, the same for the same seed', async () => {
      const spans = async (seed: number): Promise<number[]> => {
        const region = await make({ file: ':memory:', delay: 100_000, delayJitter: 0.5, seed });
        const found: number[] = [];
        for (let index = 0; index < 40; index += 1) {
          const request = { ...(await requestOf(region)), id: `server-${index}` };
          const over = new AbortController();
          const asked = region.ensureServer(request, over.signal);
          const server = await eventually(() => region.servers().find(({ id }) => id === request.id));
          // To the second: the settling time is counted from now.
          found.push(Math.round(((server.settleAt ?? 0) - Date.now()) / 1000));
          over.abort();
          await asked.catch(() => undefined);
        }
        return found;
      };
      const first = await spans(1);
      expect(new Set(first).size).to.be.greaterThan(15);
      expect(Math.min(...first)).to.be.within(49, 70);
      expect(Math.max(...first)).to.be.within(130, 150);
      const again = await spans(1);
      for (const [index, span] of again.entries()) expect(span).to.be.closeTo(first[index] ?? 0, 2);
      expect(await spans(2)).not.to.deep.equal(first);
    });

    it('give way to repetition', async () => {
      const region = await make({ failureRate: 0.5 });
      const request = await requestOf(region);
      for (let tries = 0; tries < 100 && region.servers()[0]?.powerState !== 'Running'; tries += 1) {
        await region.ensureServer(request, patient()).catch(() => undefined);
      }
      expect(region.servers()).to.have.length(1);
    });
  });

  describe('sharing', () => {
    it('shows two processes the same servers, rules and history', async () => {
      const [one, other] = [await make(), await make()];
      const id = await ensure(one);
      expect(await other.describeServers(undefined, patient())).to.deep.equal(
        await one.describeServers(undefined, patient()),
      );
      other.program({ verb: 'stopServer', error: 'busy', times: 1 });
      expect(await failureOf(one.stopServer(id, patient()))).to.equal('busy');
      await other.stopServer(id, patient());
      expect(await stateOf(one, id)).to.equal('Stopped');
      expect(one.history(id)).to.deep.equal(other.history(id));
    });

    it('deletes the server that was there when it was asked, not one that was made meanwhile', async () => {
      const [one, other] = [await make(), await make()];
      const id = await ensure(one);
      one.program({ verb: 'deleteServer', delay: 150, times: 1 });
      const late = one.deleteServer(id, patient());
      await other.deleteServer(id, patient());
      await other.ensureServer({ ...(await requestOf(other)), id }, patient());
      await late;
      expect(await stateOf(one, id)).to.equal('Running');
    });

    it('makes one server when both make it at once', async () => {
      const [one, other] = [await make({ delay: 5 }), await make({ delay: 5 })];
      const request = await requestOf(one);
      const both = [one, other].map((region) => region.ensureServer(request, patient()));
      expect((await Promise.all(both)).map(({ powerState }) => powerState)).to.deep.equal([
        'Running',
        'Running',
      ]);
      expect(one.servers()).to.have.length(1);
      expect(one.history(request.id).filter(({ changed }) => changed)).to.have.length(1);
    });

    it('tells the watchers of one what the other does', async () => {
      const [one, other] = [await make(), await make()];
      const events: ServerEvent[] = [];
      const unwatch = one.watch((event) => events.push(event));
      const id = await ensure(other);
      await waitFor(
        'it is seen',
        () => events.some(({ observation }) => observation?.powerState === 'Running'),
        3000,
      );
      await other.deleteServer(id, patient());
      await waitFor('its end is seen', () => events.at(-1)?.observation === undefined, 3000);
      unwatch();
    });

    it('carries on what a process asked for that then went away', async () => {
      const one = await make({ delay: 40 });
      const request = await requestOf(one);
      const lost = rejectionOf(one.ensureServer(request, patient()));
      await waitFor('it is asked for', () => one.servers().length === 1, 1000, 1);
      await one.close();
      expect(await lost).to.be.instanceOf(RegionError);
      const other = await make({ delay: 40 });
      await waitFor('it runs', async () => (await stateOf(other, request.id)) === 'Running', 1000, 1);
    });
  });

  it('gives back an abort while it waits, and the machine arrives all the same', async () => {
    const region = await make({ delay: 40 });
    const request = await requestOf(region);
    const abort = new AbortController();
    const end = rejectionOf(region.ensureServer(request, abort.signal));
    await waitFor('it is asked for', () => region.servers().length === 1, 1000, 1);
    const reason = new Error('gave up');
    abort.abort(reason);
    expect(await end).to.equal(reason);
    await waitFor('it runs', async () => (await stateOf(region, request.id)) === 'Running', 1000, 1);
  });

  it('lets others interfere', async () => {
    const region = await make();
    const id = await ensure(region);
    region.interfere(id, { powerState: 'Error', message: 'The host is gone.' });
    const [observation] = await region.describeServers([id], patient());
    expect(observation).to.include({ powerState: 'Error', message: 'The host is gone.' });
    expect(await region.rebootServer(id, { hard: true }, patient())).to.include({ powerState: 'Running' });
    region.interfere(id, 'vanish');
    expect(await region.describeServers([id], patient())).to.deep.equal([]);
  });

  it('keeps the history of a server that is gone', async () => {
    const region = await make();
    const id = await ensure(region);
    await region.startServer(id, patient());
    await region.stopServer(id, patient());
    await region.deleteServer(id, patient());
    const history = region.history(id).map(({ verb, changed }) => (changed ? verb : `(${verb})`));
    expect(history).to.deep.equal(['ensureServer', '(startServer)', 'stopServer', 'deleteServer']);
  });

  it('is terminal without a folder for its file', async () => {
    const region = new SimulatedRegion({
      regionId: 'region',
      file: join(folder, 'no', 'cloud.sqlite'),
      delay: 0,
      failureRate: 0,
      seed: 1,
      log: silentLog,
    });
    expect(await failureOf(region.open())).to.equal('terminal');
  });

  it('does as a small model does, whatever the order of verbs', async () => {
    const region = await make({ file: ':memory:' });
    const pool = ['a', 'b'].map(() => randomUUID());
    const verbs = ['ensure', 'delete', 'start', 'stop', 'soft', 'hard'] as const;
    const step = fc.record({ verb: fc.constantFrom(...verbs), id: fc.constantFrom(...pool) });
    type State = 'Running' | 'Stopped' | undefined;
    /** The model: the state after a verb, or the kind of its failure. */
    const model = (state: State, verb: (typeof verbs)[number]): { state: State } | { failure: string } => {
      if (verb === 'ensure') return { state: state ?? 'Running' };
      if (verb === 'delete') return { state: undefined };
      if (state === undefined) return { failure: 'not_found' };
      if (verb === 'start') return { state: 'Running' };
      if (verb === 'stop') return { state: 'Stopped' };
      return state === 'Running' ? { state } : { failure: 'conflict' };
    };
    const act = async (verb: (typeof verbs)[number], id: string): Promise<unknown> => {
      if (verb === 'ensure') return region.ensureServer(await requestOf(region, id), patient());
      if (verb === 'delete') return region.deleteServer(id, patient());
      if (verb === 'start') return region.startServer(id, patient());
      if (verb === 'stop') return region.stopServer(id, patient());
      return region.rebootServer(id, { hard: verb === 'hard' }, patient());
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const states = new Map<string, State>();
        for (const id of pool) await region.deleteServer(id, patient());
        for (const { verb, id } of steps) {
          const expected = model(states.get(id), verb);
          if ('failure' in expected) expect(await failureOf(act(verb, id))).to.equal(expected.failure);
          else {
            await act(verb, id);
            states.set(id, expected.state);
          }
          for (const one of pool) expect(await stateOf(region, one)).to.equal(states.get(one));
        }
      }),
      { numRuns: 60 },
    );
  });
});
