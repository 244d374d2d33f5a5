/** Which pages of other sites may call the API from a browser (CORS, Fetch standard section 3.2). */
import { expect } from 'chai';
import { adminKey, startServer, type TestServer } from '../../support/server.js';
import { wire, type WireReply } from '../../support/fuzz-http.js';

const listed = 'https://console.example.com';
const also = 'http://localhost:5173';
const path = '/api/v2/instances';

/** The names in a list-valued field, in small letters. */
function names(reply: WireReply, field: string): string[] {
  const value = reply.headers[field];
  return String(value ?? '')
    .toLowerCase()
    .split(/\s*,\s*/)
    .filter((name) => name !== '');
}

function granted(reply: WireReply): string[] {
  return Object.keys(reply.headers).filter((name) => name.startsWith('access-control-'));
}

describe('CORS', () => {
  let server: TestServer;
  const read = (origin: string | undefined, target = path, headers: Record<string, string> = {}) =>
    wire(server.url + target, {
      headers: {
        Authorization: `Bearer ${adminKey}`,
        ...headers,
        ...(origin === undefined ? {} : { Origin: origin }),
      },
    });
  const preflight = (origin: string, method = 'PUT', fields = 'authorization,content-type,if-match') =>
    wire(`${server.url}${path}/anything`, {
      method: 'OPTIONS',
      headers: {
        Origin: origin,
        'Access-Control-Request-Method': method,
        'Access-Control-Request-Headers': fields,
      },
    });

  before(async () => {
    server = await startServer({ flags: { server: { corsOrigins: [listed, also] } } });
  });
  after(() => server.stop());

  it('answers a listed origin by its own name, and tells caches that the answer depends on it', async () => {
    for (const origin of [listed, also]) {
      const reply = await read(origin);
      expect(reply.status).to.equal(200);
      expect(reply.headers['access-control-allow-origin']).to.equal(origin);
      expect(names(reply, 'vary')).to.include('origin');
      expect(reply.headers['access-control-allow-credentials']).to.be.undefined;
    }
  });

  it('grants nothing to any other origin, however like, and still says that the answer depends on it', async () => {
    const others = [
      'https://evil.example',
      `${listed}.evil.example`,
      'https://console.example.com:8443',
      'http://console.example.com',
      'https://CONSOLE.example.com',
      'https://sub.console.example.com',
      `${listed}/`,
      'null',
      '*',
    ];
    for (const origin of others) {
      const reply = await read(origin);
      expect(granted(reply), origin).to.deep.equal([]);
      expect(names(reply, 'vary'), origin).to.include('origin');
      expect(granted(await preflight(origin)), origin).to.deep.equal([]);
    }
    const none = await read(undefined);
    expect([granted(none), names(none, 'vary').includes('origin')]).to.deep.equal([[], true]);
  });

  it('lets a listed page read the fields that our answers have beyond the safelisted ones', async () => {
    const reply = await read(listed);
    const safelisted = [
      'cache-control',
      'content-length',
      'content-type',
      'date',
      'vary',
      'connection',
      'keep-alive',
      'x-content-type-options',
    ];
    const ours = Object.keys(reply.headers).filter(
      (name) => !name.startsWith('access-control-') && !safelisted.includes(name),
    );
    expect(ours).to.include.members(['link', 'ratelimit', 'ratelimit-policy', 'x-request-id']);
    const exposed = names(reply, 'access-control-expose-headers');
    expect(exposed).to.include.members(ours);
    const onOccasion = [
      'etag',
      'location',
      'retry-after',
      'preference-applied',
      'idempotency-replayed',
      'x-error-code',
      'deprecation',
      'sunset',
      'allow',
      'www-authenticate',
    ];
    expect(exposed).to.include.members(onOccasion);
    expect(exposed).not.to.include('*');
  });

  it('lets a listed page read refusals too', async () => {
    const refusals: [number, Promise<WireReply>][] = [
      [401, read(listed, path, { Authorization: 'Bearer wrong' })],
      [404, read(listed, '/nowhere')],
      [400, read(listed, `${path}?wrong=1`)],
      [404, read(listed, `${path}/0193a5c0-ffff-7000-8000-00000000dead`)],
    ];
    for (const [status, asked] of refusals) {
      const reply = await asked;
      expect([reply.status, reply.headers['access-control-allow-origin']]).to.deep.equal([status, listed]);
      expect(names(reply, 'access-control-expose-headers')).to.include('x-error-code');
    }
  });

  it('answers a preflight of a listed origin without asking who calls', async () => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE']) {
      const reply = await preflight(listed, method);
      expect([reply.status, reply.bytes.length]).to.deep.equal([204, 0]);
      expect(reply.headers['access-control-allow-origin']).to.equal(listed);
      expect(names(reply, 'access-control-allow-methods')).to.include(method.toLowerCase());
      expect(names(reply, 'vary')).to.include('origin');
      expect(Number(reply.headers['access-control-max-age'])).to.be.within(1, 86400);
      expect(reply.headers['x-request-id']).to.be.a('string');
    }
  });

  it('permits every request header that the document names, and those of authentication', async () => {
    const reply = await preflight(listed);
    const permitted = names(reply, 'access-control-allow-headers');
    const document = JSON.parse((await read(undefined, '/openapi.json')).bytes.toString()) as {
      components: { parameters: Record<string, { name: string }> };
    };
    const used = Object.values(document.components.parameters).map(({ name }) => name.toLowerCase());
    expect(used).to.have.length.above(3);
    expect(permitted).to.include.members([
      ...used,
      'authorization',
      'api-user',
      'api-key',
      'content-type',
      'traceparent',
      'last-event-id',
    ]);
    expect(permitted).not.to.include('*');
  });

  it('leaves OPTIONS that is no preflight to the routes', async () => {
    const reply = await wire(server.url + path, { method: 'OPTIONS', headers: { Origin: listed } });
    expect(reply.status).to.equal(204);
    expect(names(reply, 'allow')).to.include.members(['get', 'post']);
  });
});

describe('CORS by default', () => {
  it('is off: no origin is granted anything', async () => {
    const server = await startServer();
    try {
      for (const origin of [listed, server.url, 'null', '*']) {
        const reply = await wire(server.url + path, {
          headers: { Authorization: `Bearer ${adminKey}`, Origin: origin },
        });
        expect([reply.status, granted(reply)], origin).to.deep.equal([200, []]);
        expect(names(reply, 'vary'), origin).not.to.include('origin');
        const headers = { Origin: origin, 'Access-Control-Request-Method': 'PUT' };
        expect(granted(await wire(server.url + path, { method: 'OPTIONS', headers })), origin).to.deep.equal(
          [],
        );
      }
    } finally {
      await server.stop();
    }
  });
});
