/** OPTIONS and HEAD, which no route declares and every route has. */
import { expect } from 'chai';
import { exampleIds } from '../../../src/route/example.js';
import { freshPeople } from '../../support/example-people.js';
import { pendingUpload, seedImage } from '../../support/images.js';
import { absentId } from '../../support/fuzz-seed.js';
import { wire, type WireReply } from '../../support/fuzz-http.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

interface Document {
  paths: Record<string, Record<string, unknown>>;
}

/** Fields that differ between any two answers. */
const changing = ['date', 'x-request-id', 'ratelimit'];

describe('OPTIONS and HEAD', () => {
  let server: TestServer;
  let paths: [string, string[]][];
  let real: Record<string, string>;
  const ask = (method: string, target: string, headers: Record<string, string> = {}): Promise<WireReply> =>
    wire(server.url + target, { method, headers: { Authorization: `Bearer ${adminKey}`, ...headers } });
  const filled = (path: string, values: Readonly<Record<string, string>>) =>
    path.replaceAll(/\{(\w+)\}/g, (_whole, name: string) => values[name] ?? 'errors');

  before(async () => {
    server = await startServer();
    const document = (await server.admin.get<Document>('/openapi.json')).body;
    paths = Object.entries(document.paths).map(([path, methods]) => [path, Object.keys(methods)]);
    const { metadata } = await server.createInstance('head');
    const { taskId } = (await server.createInstance('head-task')).status;
    await server.ended(taskId);
    const { organizationId, projectId, regionId, networkId, flavors, images } = server.catalog;
    real = {
      file: 'style.css',
      organizationID: organizationId,
      projectID: projectId,
      regionID: regionId,
      networkID: networkId,
      flavorID: flavors['tiny'] ?? '',
      imageID: images['sim-linux'] ?? '',
      instanceID: metadata.id,
      taskID: taskId ?? '',
    };
    await server.settled(metadata.id);
    const people = await freshPeople(server, 'getUser', metadata.id);
    for (const [name, example] of Object.entries(exampleIds)) {
      const id = people[example];
      if (id !== undefined) real[name] = id;
    }
  });
  after(() => server.stop());

  it('OPTIONS answers 204 on every path of the document with the methods that it has, to strangers too', async () => {
    expect(paths).to.have.length.above(15);
    for (const [path, methods] of paths) {
      for (const headers of [{}, { Authorization: 'Bearer wrong' }]) {
        const reply = await ask('OPTIONS', filled(path, exampleIds), headers);
        expect([reply.status, reply.bytes.length], path).to.deep.equal([204, 0]);
        expect(reply.headers['x-request-id'], path).to.be.a('string');
        const expected = methods.map((method) => method.toUpperCase());
        if (expected.includes('GET')) expected.push('HEAD');
        const allow = (reply.headers.allow ?? '').split(', ');
        expect(allow, path).to.have.members([...expected, 'OPTIONS']);
      }
    }
  });

  it('OPTIONS and 405 name the same methods', async () => {
    for (const [path, methods] of paths) {
      if (methods.includes('delete')) continue;
      const target = filled(path, exampleIds);
      const refused = await ask('DELETE', target);
      expect([refused.status, refused.headers['x-error-code']], path).to.deep.equal([
        405,
        'method_not_allowed',
      ]);
      expect(refused.headers.allow, path).to.equal((await ask('OPTIONS', target)).headers.allow);
    }
  });

  it('OPTIONS of what is not there is 404', async () => {
    for (const target of ['/nowhere', '/api', '/api/v2/instances/', '/api/v3/instances']) {
      expect((await ask('OPTIONS', target)).status, target).to.equal(404);
    }
  });

  it('HEAD answers each GET of the document with the same status and fields, and without a body', async () => {
    const imageID = await seedImage(server.app.store, server.catalog, pendingUpload);
    const gets = paths.filter(([, methods]) => methods.includes('get'));
    expect(gets).to.have.length.above(12);
    for (const [path] of gets) {
      const target = filled(path, path.endsWith('/content') ? { ...real, imageID } : real);
      const get = await ask('GET', target);
      const head = await ask('HEAD', target);
      expect([get.status, head.status], path).to.deep.equal([200, 200]);
      expect(head.bytes.length, path).to.equal(0);
      expect(get.bytes.length, path).to.be.above(0);
      // How long the server is up, and its counters, change between the two.
      const ignored = ['/metrics', '/ready'].includes(path) ? [...changing, 'content-length'] : changing;
      const fields = ({ headers }: WireReply) =>
        Object.fromEntries(Object.entries(headers).filter(([name]) => !ignored.includes(name)));
      expect(fields(head), path).to.deep.equal(fields(get));
      expect(head.headers['content-length'], path).to.match(/^\d+$/);
    }
  });

  it('HEAD refuses as GET does: same status, code and length, no body', async () => {
    const cases: [string, Record<string, string>][] = [
      ['/nowhere', {}],
      [`/api/v2/instances/${absentId}`, {}],
      ['/api/v2/instances/nonsense', {}],
      ['/api/v2/instances?limit=0', {}],
      ['/api/v2/instances', { Authorization: 'Bearer wrong' }],
      [`/api/v2/instances/${real['instanceID'] ?? ''}/start`, {}],
      [`/api/v2/instances/${real['instanceID'] ?? ''}`, { 'If-Match': '"0"' }],
    ];
    for (const [target, more] of cases) {
      // The request id is part of the body.
      const headers = { 'X-Request-Id': 'refused', ...more };
      const get = await ask('GET', target, headers);
      const head = await ask('HEAD', target, headers);
      expect(get.status, target).to.be.within(400, 499);
      expect([head.status, head.bytes.length], target).to.deep.equal([get.status, 0]);
      for (const name of [
        'x-error-code',
        'content-type',
        'cache-control',
        'www-authenticate',
        'allow',
      ] as const) {
        expect(head.headers[name], `${name} of ${target}`).to.equal(get.headers[name]);
      }
      // 405 names the method, so its body differs.
      if (get.status !== 405)
        expect(head.headers['content-length'], target).to.equal(String(get.bytes.length));
    }
  });

  it('HEAD has no effect beyond that of GET: it follows no write route', async () => {
    for (const verb of ['start', 'stop', 'reboot']) {
      const reply = await ask('HEAD', `/api/v2/instances/${real['instanceID'] ?? ''}/${verb}`);
      expect([reply.status, reply.headers.allow], verb).to.deep.equal([405, 'OPTIONS, POST']);
    }
  });
});
