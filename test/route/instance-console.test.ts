import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { startApp } from '../../src/app.js';
import { errorCodes } from '../../src/model/error.js';
import type { RegionErrorKind } from '../../src/region/provider.js';
import { Api, checkedFetch } from '../support/conform.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

interface Output {
  contents: string;
  start: number;
  next: number;
}

/** The data of a stream of server-sent events. */
async function* outputsOf({ body }: Response): AsyncGenerator<Output, void> {
  let text = '';
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
      text = text.slice(end + 2);
      if (data !== undefined) yield JSON.parse(data) as Output;
    }
  }
}

describe('GET /api/v2/instances/{instanceID}/consoleoutput', () => {
  let server: TestServer;
  let path: string;
  let talker: string;

  before(async () => {
    server = await startServer({ flags: { server: { requestTimeout: 0.5 } } });
    const { metadata } = await server.running('talker');
    talker = metadata.id;
    path = `/api/v2/instances/${talker}/consoleoutput`;
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('shows what the guest wrote, up to its login prompt, and is never cached', async () => {
    const { status, headers, body } = await server.admin.get<Output>(path);
    expect(status).to.equal(200);
    expect(body.contents)
      .to.match(/^\[ {4}0\.000000\] Linux version/)
      .and.to.match(/talker login: $/);
    expect(headers.get('cache-control')).to.equal('no-store');
  });

  it('with length gives as many lines from the end', async () => {
    const all = (await server.admin.get<Output>(path)).body.contents;
    const lines = all.split('\n');
    for (const count of [1, 2, 5, lines.length, lines.length + 1, 100_000]) {
      const { contents } = (await server.admin.get<Output>(`${path}?length=${count}`)).body;
      expect(contents, `length=${count}`).to.equal(lines.slice(-count).join('\n'));
    }
  });

  it('with start continues where the one before ended, and tells both ends', async () => {
    const all = (await server.admin.get<Output>(path)).body;
    expect(all).to.include({ start: 0, next: Buffer.byteLength(all.contents) });
    const rest = (await server.admin.get<Output>(`${path}?start=100`)).body;
    expect(rest).to.deep.equal({ contents: all.contents.slice(100), start: 100, next: all.next });
    const none = (await server.admin.get<Output>(`${path}?start=${all.next}`)).body;
    expect(none).to.deep.equal({ contents: '', start: all.next, next: all.next });
    const beyond = (await server.admin.get<Output>(`${path}?start=${all.next + 1}`)).body;
    expect(beyond).to.deep.equal(all);
    const last = (await server.admin.get<Output>(`${path}?start=100&length=1`)).body;
    expect(last).to.deep.equal({ contents: 'talker login: ', start: all.next - 14, next: all.next });
    for (const query of ['start=-1', 'start=1.5', 'start=x']) {
      const reply = await server.admin.refused('invalid_parameter', 'GET', `${path}?${query}`);
      expect(reply.body.errors?.[0]?.parameter, query).to.equal('start');
    }
  });

  it('as a stream shows what is there and then what the guest writes, and resumes where it was', async () => {
    const { metadata } = await server.running('streamer');
    const address = `/api/v2/instances/${metadata.id}/consoleoutput`;
    const before = (await server.admin.get<Output>(address)).body;
    const open = (more: Record<string, string> = {}) =>
      checkedFetch(`${server.url}${address}`, {
        headers: { Authorization: `Bearer ${adminKey}`, Accept: 'text/event-stream', ...more },
      });
    const live = await open();
    expect(live.headers.get('content-type')).to.equal('text/event-stream');
    const read = outputsOf(live);
    expect((await read.next()).value).to.deep.equal(before);
    await server.admin.post(`/api/v2/instances/${metadata.id}/reboot?hard=true`);
    const { value } = await read.next();
    expect(value).to.include({ start: before.next });
    expect(value?.contents).to.match(/Linux version/);
    await server.settled(metadata.id);
    await server.admin.post(`/api/v2/instances/${metadata.id}/reboot?hard=true`);
    const later = (await read.next()).value;
    expect(later).to.include({ start: value?.next });
    expect(later?.contents).to.match(/boot 3/);
    await read.return(undefined);
    const again = outputsOf(await open({ 'Last-Event-ID': String(before.next) }));
    const rest = (await again.next()).value;
    expect(rest).to.include({ start: before.next, next: later?.next });
    await again.return(undefined);
    const wrong = await open({ 'Last-Event-ID': 'first' });
    expect(wrong.status).to.equal(400);
    await wrong.text();
  });

  it('refuses a length that is no number from 1 to 100000', async () => {
    for (const length of [
      '0',
      '-1',
      '100001',
      '1.5',
      '1e2',
      '0x10',
      'all',
      '',
      '1&length=2',
      '99999999999999999999',
    ]) {
      const reply = await server.admin.refused('invalid_parameter', 'GET', `${path}?length=${length}`);
      expect(reply.body.errors?.[0]?.parameter, length).to.equal('length');
    }
  });

  it('is empty while there is no machine yet', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const { metadata } = await server.createInstance('unborn');
    const { body } = await server.admin.get<Output>(`/api/v2/instances/${metadata.id}/consoleoutput`);
    expect(body).to.deep.equal({ contents: '', start: 0, next: 0 });
  });

  it('answers 503 while no worker of its region is known; a create is taken by the catalog that is, and one of no region stays unknown', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'copse-test-'));
    const full = await startServer({ flags: { store: 'sqlite:site.sqlite' }, dataDir });
    const { metadata } = await full.running('talker');
    // Another process on the same store, without regions. The first has a gate for nobody, so it is not registered.
    const app = await startApp(full.config, { log: full.log, role: 'api' });
    try {
      const api = Api.withKey(app.url, adminKey);
      const address = `/api/v2/instances/${metadata.id}/consoleoutput`;
      const reply = await api.refused('unavailable', 'GET', address, { failing: 503 });
      expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
      expect((await api.post('/api/v2/instances', full.instanceBody('new'))).status).to.equal(201);
      const absent = '0193a5c0-0000-7000-8000-000000000001';
      const regions = `/api/v1/organizations/${full.catalog.organizationId}/regions`;
      await api.refused('not_found', 'GET', `${regions}/${absent}/flavors`);
    } finally {
      await app.stop();
      await full.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  it('does not know an absent instance', async () => {
    await server.admin.refused(
      'not_found',
      'GET',
      '/api/v2/instances/0193a5c0-0000-7000-8000-000000000001/consoleoutput',
    );
  });

  const failures: [RegionErrorKind, number][] = [
    ['busy', 503],
    ['transient', 503],
    ['terminal', 503],
    ['conflict', 409],
    ['unsupported', 501],
  ];
  for (const [kind, status] of failures) {
    it(`answers ${status}, as its declaration says, when the region fails with "${kind}"`, async () => {
      server.cloud.program({ verb: 'consoleOutput', serverId: talker, error: kind, times: 1 });
      const reply = await server.admin.get(path, { failing: status });
      expect(reply.status).to.equal(status);
      if (status === 503) expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
    });
  }

  it('gives up in time, as retryable, when the region does not answer within the time of a request', async () => {
    server.cloud.program({ verb: 'consoleOutput', serverId: talker, delay: 60_000, times: 1 });
    const failing = errorCodes.deadline_exceeded.status;
    const reply = await server.admin.refused('deadline_exceeded', 'GET', path, { failing });
    expect(reply.body.retryable).to.be.true;
  });
});
