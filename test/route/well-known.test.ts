/** OAuth protected resource metadata (RFC 9728), at the registered path and at the one of Unikorn's clients. */
import { expect } from 'chai';
import { Api, checkedFetch } from '../support/conform.js';
import { wire } from '../support/fuzz-http.js';
import { startServer, type TestServer } from '../support/server.js';

const paths = ['/.well-known/oauth-protected-resource', '/.well-known/openid-protected-resource'];

interface Metadata {
  resource: string;
  resource_documentation: string;
  authorization_servers?: string[];
  scopes_supported?: string[];
  bearer_methods_supported: string[];
}

describe('the well-known documents', () => {
  describe('of a server with a public URL', () => {
    const publicUrl = 'https://api.example.com';
    const authorizationServers = ['https://login.example.com', 'https://other.example.com/realm'];
    const scopes = ['instances:read', 'instances:write'];
    let server: TestServer;
    before(async () => {
      server = await startServer({
        flags: { server: { publicUrl: `${publicUrl}/` }, auth: { authorizationServers, scopes } },
      });
    });
    after(() => server.stop());

    it('are the same JSON at both paths, for anybody', async () => {
      const anonymous = new Api(server.url);
      const [one, other] = await Promise.all(paths.map((path) => anonymous.get<Metadata>(path)));
      expect([one?.status, other?.status]).to.deep.equal([200, 200]);
      expect(one?.headers.get('content-type')).to.match(/^application\/json/);
      expect(other?.text).to.equal(one?.text);
      expect(one?.body).to.deep.include({
        resource: publicUrl,
        resource_documentation: `${publicUrl}/docs`,
        authorization_servers: authorizationServers,
        scopes_supported: scopes,
        bearer_methods_supported: ['header'],
      });
    });

    it('come from the configuration and never from what the client says of the host', async () => {
      const headers = {
        Host: 'evil.example',
        'X-Forwarded-Host': 'evil.example',
        'X-Forwarded-Proto': 'gopher',
        Forwarded: 'host=evil.example',
      };
      for (const path of paths) {
        const reply = await wire(server.url + path, { headers });
        expect(reply.status).to.equal(200);
        expect(JSON.stringify([reply.headers, reply.bytes.toString()]))
          .not.to.include('evil')
          .and.not.to.include('gopher');
        expect((JSON.parse(reply.bytes.toString()) as Metadata).resource).to.equal(publicUrl);
      }
    });

    it('may be kept for a day by the client, and by nobody on the way', async () => {
      for (const path of paths) {
        for (const method of ['GET', 'HEAD']) {
          const reply = await wire(server.url + path, { method });
          expect(reply.headers['cache-control'], `${method} ${path}`).to.equal('private, max-age=86400');
        }
      }
    });

    it('take no parameters and no other method', async () => {
      const anonymous = new Api(server.url);
      for (const path of paths) {
        await anonymous.refused('invalid_parameter', 'GET', `${path}?resource=x`);
        await anonymous.refused('method_not_allowed', 'POST', path);
      }
    });

    it('are what a 401 points to, by the public URL', async () => {
      const reply = await new Api(server.url).refused('unauthorized', 'GET', '/api/v2/instances');
      expect(reply.headers.get('www-authenticate')).to.equal(
        `Bearer realm="copse", resource_metadata="${publicUrl}/.well-known/oauth-protected-resource"`,
      );
    });
  });

  describe('of a server with a path in its public URL', () => {
    const publicUrl = 'https://api.example.com/cloud/copse';
    let server: TestServer;
    before(async () => {
      server = await startServer({ flags: { server: { publicUrl: `${publicUrl}/` } } });
    });
    after(() => server.stop());

    it('stand where RFC 9728 looks for them and a 401 points, which a proxy hands on as it is', async () => {
      const anonymous = new Api(server.url);
      const refused = await anonymous.refused('unauthorized', 'GET', '/api/v2/instances');
      const [, address = ''] =
        /resource_metadata="([^"]*)"/.exec(refused.headers.get('www-authenticate') ?? '') ?? [];
      expect(address).to.equal('https://api.example.com/.well-known/oauth-protected-resource/cloud/copse');
      const found = await anonymous.get<Metadata>(new URL(address).pathname);
      expect(found.status).to.equal(200);
      expect(found.body).to.deep.include({
        resource: publicUrl,
        resource_documentation: `${publicUrl}/docs`,
      });
    });

    it('stand at the plain paths too, which a proxy that strips the path asks for', async () => {
      for (const path of paths) {
        const { body } = await new Api(server.url).get<Metadata>(path);
        expect(body.resource, path).to.equal(publicUrl);
      }
    });

    it('stand at no other path', async () => {
      for (const path of ['/cloud', '/copse', '/cloud/copse/x'])
        await new Api(server.url).refused('not_found', 'GET', `${paths[0] ?? ''}${path}`);
    });
  });

  describe('of a server without', () => {
    let server: TestServer;
    before(async () => {
      server = await startServer();
    });
    after(() => server.stop());

    it('name the address that it listens on, and leave out what has no value', async () => {
      for (const path of paths) {
        const { body } = await new Api(server.url).get<Metadata>(path);
        expect(body.resource).to.equal(server.url);
        expect(body).not.to.have.any.keys('authorization_servers', 'scopes_supported');
      }
    });

    it('are found by following the 401, with a wrong credential or none, on whatever route', async () => {
      const strangers = [
        new Api(server.url),
        new Api(server.url, { Authorization: 'Bearer wrong' }),
        new Api(server.url, { Authorization: 'Basic YTpi' }),
        new Api(server.url, { 'Api-User': 'admin', 'Api-Key': 'wrong' }),
      ];
      for (const stranger of strangers) {
        for (const [method, path] of [
          ['GET', '/api/v2/instances'],
          ['POST', '/api/v2/instances'],
          ['GET', '/api/version'],
        ] as const) {
          const reply = await stranger.refused('unauthorized', method, path);
          const challenge = reply.headers.get('www-authenticate') ?? '';
          const attributes = [...challenge.replace(/^Bearer /, '').matchAll(/(\w+)="([^"]*)"(?:, |$)/g)];
          expect(challenge).to.equal(
            `Bearer ${attributes.map(([, name, value]) => `${name ?? ''}="${value ?? ''}"`).join(', ')}`,
          );
          const names = attributes.map(([, name]) => name);
          expect(new Set(names).size).to.equal(names.length);
          const address = attributes.find(([, name]) => name === 'resource_metadata')?.[2] ?? '';
          const metadata = await checkedFetch(address);
          expect(metadata.status).to.equal(200);
          expect(((await metadata.json()) as Metadata).resource).to.equal(server.url);
        }
      }
    });

    it('are not confused with an error when no credential was sent (RFC 6750, 3.1)', async () => {
      const challenge = async (api: Api) => (await api.get('/api/version')).headers.get('www-authenticate');
      expect(await challenge(new Api(server.url))).not.to.include('error=');
      expect(await challenge(new Api(server.url, { Authorization: 'Bearer wrong' }))).to.include(
        'error="invalid_token"',
      );
    });
  });
});
