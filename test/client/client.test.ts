import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { CallError, type Call, Client } from '../../src/client/client.js';
import type { Instance } from '../../src/model/instance.js';
import type { Project } from '../../src/model/project.js';
import { checkedClient } from '../support/conform.js';
import { failureOf } from '../support/eventually.js';
import { addProject } from '../support/people.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

describe('the client', () => {
  let server: TestServer;
  let client: Client;

  before(async () => {
    server = await startServer();
    client = checkedClient(`${server.url}/`, adminKey);
    for (let index = 0; index < 7; index += 1) await addProject(server.app, { name: `p-${index}` });
  });
  after(() => server.stop());

  it('authenticates, and gives status, headers and parsed body', async () => {
    const answer = await client.get<{ name: string }>('/api/version');
    expect(answer.status).to.equal(200);
    expect(answer.body.name).to.equal('copse');
    expect(answer.headers.get('x-request-id')).to.be.a('string');
  });

  it('sends a body as JSON, and copes with an answer without one', async () => {
    const created = await client.post<Instance>('/api/v2/instances', server.wish('by-client'));
    expect(created.status).to.equal(201);
    await server.settled(created.body.metadata.id);
    const stopped = await client.post(`/api/v2/instances/${created.body.metadata.id}/stop`);
    expect(stopped).to.deep.include({ status: 202, body: undefined });
    await server.ended(stopped.headers.get('location'));
    expect((await client.delete(`/api/v2/instances/${created.body.metadata.id}`)).status).to.equal(202);
  });

  it('follows the pages of a list to the end, each item once', async () => {
    const pages: number[] = [];
    for await (const page of client.pages<Project>('/api/v2/projects?limit=3')) pages.push(page.body.length);
    expect(pages).to.deep.equal([3, 3, 2]);
    const names: string[] = [];
    for await (const project of client.items<Project>('/api/v2/projects?limit=2'))
      names.push(project.metadata.name);
    expect(names).to.deep.equal(['default', ...Array.from({ length: 7 }, (_, index) => `p-${index}`)]);
  });

  it('follows them also where filters make the Link header long', async () => {
    const wanted = (await client.get<Project[]>('/api/v2/projects')).body.map(
      (project) => project.metadata.id,
    );
    const padding = Array.from(
      { length: 30 },
      (_, index) => `0193a5c0-0000-7000-8000-0000000000${index + 10}`,
    );
    for (const [index, projectId] of wanted.entries())
      await server.order(`paged-${index}`, { spec: { projectId } });
    const query = [...wanted, ...padding].map((id) => `projectID=${id}`).join('&');
    let count = 0;
    for await (const instance of client.items<Instance>(`/api/v2/instances?limit=2&${query}`)) {
      if (instance.metadata.name.startsWith('paged-')) count += 1;
    }
    expect(count).to.equal(wanted.length);
  });

  it('tells of each call before it is made', async () => {
    const calls: Call[] = [];
    const told = checkedClient(server.url, adminKey, { onCall: (call) => calls.push(call) });
    await told.get('/api/version');
    expect(await failureOf(told.post('/api/v2/instances', { a: 1 }))).to.be.instanceOf(CallError);
    expect(calls).to.deep.equal([
      { method: 'GET', url: `${server.url}/api/version` },
      { method: 'POST', url: `${server.url}/api/v2/instances`, body: { a: 1 } },
    ]);
  });

  it('turns an error answer into a CallError with its code to act on', async () => {
    const error = await failureOf(client.get('/api/v2/instances?limt=1'));
    expect(error).to.be.an.instanceOf(CallError);
    expect(error).to.include({ status: 400, code: 'invalid_parameter', retryable: false });
    expect(error.message).to.include('Did you mean "limit"?');
    const refused = await failureOf(checkedClient(server.url, 'wrong').get('/api/version'));
    expect(refused).to.include({ status: 401, code: 'unauthorized' });
  });
});

describe('the client and other people’s servers', () => {
  const servers: Server[] = [];

  const serve = (listener: RequestListener): Promise<string> => {
    const server = createServer(listener);
    servers.push(server);
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      );
    });
  };

  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  it('never takes its key to another server, even if a link leads there', async () => {
    const stolen: unknown[] = [];
    const thief = await serve((request, response) => {
      stolen.push(request.headers);
      response.end('[]');
    });
    const url = await serve((_request, response) => {
      response.setHeader('Link', `<${thief}/api/v2/projects?key=x>; rel="next"`);
      response.end('[1]');
    });
    const client = new Client(url, adminKey);
    const items = client.items<number>('/api/v2/projects');
    expect((await items.next()).value).to.equal(1);
    expect((await failureOf(items.next())).message).to.include(thief);
    expect((await failureOf(client.get(`${thief}/x`))).message).to.include('is not the server');
    // A path that looks like an address may be refused or asked of the own server, but goes nowhere else.
    await client.get(`//${new URL(thief).host}/x`).catch(() => undefined);
    expect(stolen).to.deep.equal([]);
  });

  it('does not walk in circles', async () => {
    const url = await serve((request, response) => {
      response.setHeader('Link', `<http://${request.headers.host ?? ''}/list?key=again>; rel="next"`);
      response.end('[1]');
    });
    let count = 0;
    for await (const item of new Client(url, 'k').items<number>('/list')) count += item;
    expect(count).to.equal(2);
  });

  it('copes with errors that are not in our shape', async () => {
    const bodies = ['', 'null', '[]', '42', '"text"', '<html>Bad Gateway</html>', '{"message":"m"}', '{'];
    for (const body of bodies) {
      const url = await serve((_request, response) => {
        response.statusCode = 502;
        response.end(body);
      });
      const error = await failureOf(new Client(url, 'k').get('/x'));
      expect(error, body).to.be.an.instanceOf(CallError);
      expect(error, body).to.include({ status: 502, code: 'unknown', retryable: true });
      expect(error.message, body).to.be.a('string').that.is.not.empty;
    }
  });

  it('gives up on a server that does not answer', async () => {
    const url = await serve(() => undefined);
    const error = await failureOf(new Client(url, 'k', { timeout: 50 }).get('/x'));
    expect(error.name).to.equal('TimeoutError');
  });

  it('keeps the path of a base URL that has one', async () => {
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? '');
      response.end('{}');
    });
    await new Client(`${url}/copse/`, 'k').get('/api/version');
    expect(asked).to.deep.equal(['/copse/api/version']);
  });
});
