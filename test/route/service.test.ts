import { expect } from 'chai';
import { packageVersion } from '../../src/config.js';
import { Api } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { addPerson } from '../support/people.js';
import { openSilently } from '../support/raw.js';
import { startServer, type TestServer } from '../support/server.js';

describe('what the service says of itself', () => {
  let server: TestServer;
  let anonymous: Api;

  before(async () => {
    server = await startServer();
    anonymous = new Api(server.url);
  });
  after(() => server.stop());

  it('GET /api/version tells name and version to every identified user', async () => {
    const person = await addPerson(server.app, 'curious');
    const { body, headers } = await person.api.get('/api/version');
    expect(body).to.deep.equal({ name: 'copse', version: packageVersion() });
    expect(headers.get('cache-control')).to.equal('no-cache');
    await anonymous.refused('unauthorized', 'GET', '/api/version');
  });

  it('GET /health tells everybody which parts work, without their inside', async () => {
    const { status, body, headers } = await anonymous.get('/health');
    expect(status).to.equal(200);
    expect(body).to.deep.equal({
      name: 'copse',
      version: packageVersion(),
      status: 'pass',
      message: 'ready for requests',
      checks: [{ name: 'region simulated', status: 'pass', message: 'open' }],
    });
    expect(headers.get('cache-control')).to.equal('no-store');
  });

  it('GET /ready tells since when', async () => {
    const { status, body } = await anonymous.get<{ status: string; started: string; up: string }>('/ready');
    expect(status).to.equal(200);
    expect(body.status).to.equal('ready');
    expect(Date.parse(body.started)).to.be.at.most(Date.now());
    expect(body.up).to.match(/^\d+s$/);
  });

  it('serves these three also to HEAD', async () => {
    for (const path of ['/health', '/ready']) {
      const reply = await anonymous.call('HEAD', path);
      expect(reply.status, path).to.equal(200);
      expect(reply.text).to.equal('');
    }
  });

  it('keeps a request id that is well formed and replaces any other', async () => {
    for (const id of ['abc', 'A.b_c~d-1', 'x'.repeat(128)]) {
      const reply = await anonymous.get('/health', { headers: { 'X-Request-Id': id } });
      expect(reply.headers.get('x-request-id')).to.equal(id);
    }
    for (const id of ['a b', 'x'.repeat(129), '<script>', 'ü', '"']) {
      const reply = await anonymous.get('/health', { headers: { 'X-Request-Id': id } });
      expect(reply.headers.get('x-request-id'), id).to.match(/^[0-9a-f-]{36}$/);
    }
  });

  it('logs one line for each request: route, status and user, never the key', async () => {
    const person = await addPerson(server.app, 'logged');
    await person.api.get('/api/v2/tasks?limit=3', { headers: { 'X-Request-Id': 'logged-once' } });
    const lines = server.log.entries.filter((entry) => entry.details['requestId'] === 'logged-once');
    expect(lines).to.have.length(1);
    expect(lines[0]?.details).to.include({
      method: 'GET',
      route: '/api/v2/tasks',
      status: 200,
      user: 'logged',
    });
    expect(JSON.stringify(server.log.entries)).not.to.include(person.key);
  });

  it('shows that a region cannot be opened: degraded health, and all else goes on', async () => {
    const half = await startServer({
      flags: { regions: ['simulated', 'local'], local: { qemu: '/nonexistent/qemu' } },
      defectsExpected: true,
    });
    try {
      const api = new Api(half.url);
      const reply = await api.get<{ status: string; checks: { name: string; status: string }[] }>('/health', {
        failing: 503,
      });
      expect(reply.status).to.equal(503);
      expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
      expect(reply.body.status).to.equal('fail');
      expect(reply.body.checks.map((check) => [check.name, check.status])).to.deep.equal([
        ['region local', 'fail'],
        ['region simulated', 'pass'],
      ]);
      expect((await api.get('/ready')).status).to.equal(200);
      await half.running('goes-on');
    } finally {
      await half.stop();
    }
  });
});

describe('the end of the service', () => {
  it('does not wait for a client that holds a connection and says nothing, or only half a request', async () => {
    const server = await startServer();
    const silent = await openSilently(server.url);
    const half = await openSilently(server.url, 'GET /health HTTP/1.1\r\nHost: x\r\n');
    let stopped = false;
    const stopping = server.stop().then(() => {
      stopped = true;
    });
    try {
      await eventually(() => stopped, { within: 4000, what: 'the end of the server' });
    } finally {
      silent.close();
      half.close();
      await stopping;
    }
  }).timeout(8000);

  it('answers the requests that are under way', async () => {
    const server = await startServer();
    const { metadata } = await server.running('asked');
    server.cloud.program({ verb: 'consoleOutput', delay: 200, times: 1 });
    const answer = server.admin.get(`/api/v2/instances/${metadata.id}/consoleoutput`);
    // Both are on their way: the request reaches the server before its listener closes.
    await server.admin.get('/health');
    const stopping = server.stop();
    expect((await answer).status).to.equal(200);
    await stopping;
  });
});
