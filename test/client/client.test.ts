import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { CallError, type Call, Client } from '../../src/client/client.js';
import type { QueueCleared } from '../../src/model/admin.js';
import type { Instance } from '../../src/model/instance.js';
import type { Project } from '../../src/model/project.js';
import type { Task } from '../../src/model/task.js';
import { checkedClient } from '../support/conform.js';
import { failureOf } from '../support/eventually.js';
import { addProject } from '../support/people.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

async function refusal(call: Promise<unknown>): Promise<CallError> {
  const error = await failureOf(call);
  if (error instanceof CallError) return error;
  throw error;
}

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
    const created = await client.post<Instance>('/api/v2/instances', server.instanceBody('by-client'));
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
      await server.createInstance(`paged-${index}`, { spec: { projectId } });
    const query = [...wanted, ...padding].map((id) => `projectID=${id}`).join('&');
    let count = 0;
    for await (const instance of client.items<Instance>(`/api/v2/instances?limit=2&${query}`)) {
      if (instance.metadata.name.startsWith('paged-')) count += 1;
    }
    expect(count).to.equal(wanted.length);
  });

  it('puts, patches and deletes on the terms that it is given, and repeats a post under its key', async () => {
    const options = { idempotencyKey: 'client-once-1', wait: 10 };
    const wish = server.instanceBody('by-verbs');
    const { body: created, headers } = await client.post<Instance>('/api/v2/instances', wish, options);
    const again = await client.post<Instance>('/api/v2/instances', wish, options);
    expect(again.headers.get('idempotency-replayed')).to.equal('true');
    expect(again.body.metadata.id).to.equal(created.metadata.id);
    const address = `/api/v2/instances/${created.metadata.id}`;
    const { flavorId, imageId } = created.spec;
    const described = {
      metadata: { name: 'by-verbs', description: 'put' },
      spec: { flavorId, imageId },
    };
    const ifMatch = (await client.get(address)).headers.get('etag') ?? '';
    const put = await client.put<Instance>(address, described, { ifMatch });
    expect(put.body.metadata.description).to.equal('put');
    const late = await failureOf(client.put(address, described, { ifMatch: headers.get('etag') ?? '"0"' }));
    expect(late).to.include({ status: 412, code: 'precondition_failed', retryable: false });

    server.cloud.program({ verb: 'stopServer', delay: 60_000, times: 1 });
    const stop = await client.post(`${address}/stop`);
    const task = stop.headers.get('location') ?? '';
    const patched = await client.patch<Task>(task, { priority: 7 });
    expect(patched.body).to.include({ priority: 7 });
    const gone = await client.delete<Task>(address, { wait: 10 });
    expect(gone).to.include({ status: 200 });
    expect(gone.body).to.include({ type: 'instance.delete', status: 'succeeded' });
    const cleared = await client.delete<QueueCleared>('/api/v2/admin/task_queue');
    expect(cleared.body).to.deep.equal({ cancelled: 0, aborting: 0 });
  });

  it('gives what an error says to act on: the faults, the task in the way, and the id in the log', async () => {
    const wish = server.instanceBody('told', { spec: { flavorId: 'x' } });
    const faulty = await refusal(client.post('/api/v2/instances', wish));
    expect(faulty.errors[0]).to.include({ pointer: '/spec/flavorId' });
    expect(faulty.requestId).to.match(/^[0-9a-f-]{36}$/);
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const { body } = await client.post<Instance>('/api/v2/instances', server.instanceBody('told'));
    const address = `/api/v2/instances/${body.metadata.id}`;
    const busy = await refusal(client.post(`${address}/stop`));
    expect(busy).to.include({ code: 'instance_busy', retryable: true, retryAfter: 2 });
    expect(busy.blockedBy).to.equal(`${server.url}/api/v2/tasks/${body.status.taskId ?? ''}`);
    await client.delete(address, { wait: 10 });
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

  it('asks once for a page whose `next` points at itself, however the link is spelt', async () => {
    const spellings = [
      (host: string) => `http://${host}/list?key=a`,
      () => '/list?key=a',
      () => '?key=a',
      (host: string) => `http://${host}/x/../list?key=a#fragment`,
      (host: string) => `HTTP://${host}/list?key=a`,
    ];
    for (const spelling of spellings) {
      const asked: string[] = [];
      const url = await serve((request, response) => {
        asked.push(request.url ?? '');
        response.setHeader('Link', `<${spelling(request.headers.host ?? '')}>; rel="next"`);
        response.end('[1]');
      });
      const items: number[] = [];
      for await (const item of new Client(url, 'k').items<number>('/list?key=a')) items.push(item);
      expect(asked, spelling('HOST')).to.deep.equal(['/list?key=a']);
      expect(items).to.deep.equal([1]);
    }
  });

  it('follows links that are relative to their page', async () => {
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? '');
      if (asked.length < 3) response.setHeader('Link', `<?key=${asked.length}>; rel="next"`);
      response.end('[1]');
    });
    for await (const page of new Client(`${url}/copse`, 'k').pages('/list'))
      expect(page.body).to.have.length(1);
    expect(asked).to.deep.equal(['/copse/list', '/copse/list?key=1', '/copse/list?key=2']);
  });

  /** What the client makes of such an error answer. */
  const errorOf = async (status: number, body: string, headers: Record<string, string> = {}) => {
    const url = await serve((_request, response) => {
      response.writeHead(status, headers);
      response.end(body);
    });
    return refusal(new Client(url, 'k').get('/x'));
  };

  const speechless = [
    '',
    '<html><title>502</title></html>',
    '{"code":"name_ta',
    '[]',
    '{"code":404,"message":{}}',
  ];
  for (const body of speechless) {
    it(`takes the code from X-Error-Code, and else from the status, when the body is ${body || 'empty'}`, async () => {
      const named = await errorOf(409, body, { 'X-Error-Code': 'name_taken', 'X-Request-Id': 'r-1' });
      expect(named).to.include({ status: 409, code: 'name_taken', retryable: false, requestId: 'r-1' });
      expect(named.message).to.include('409').and.not.to.include('<').and.not.to.include('{');
      expect(await errorOf(503, body, { 'X-Error-Code': 'of_a_newer_server' })).to.include({
        code: 'of_a_newer_server',
        retryable: true,
      });
      const byStatus: [number, string, boolean][] = [
        [400, 'unknown', false],
        [401, 'unauthorized', false],
        [403, 'forbidden', false],
        [404, 'not_found', false],
        [409, 'conflict', false],
        [413, 'too_large', false],
        [418, 'unknown', false],
        [429, 'rate_limited', true],
        [501, 'not_implemented', false],
        [502, 'unknown', true],
        [503, 'unavailable', true],
        [504, 'unknown', true],
      ];
      for (const [status, code, retryable] of byStatus)
        expect(await errorOf(status, body), String(status)).to.include({ status, code, retryable });
    });
  }

  it('reads an error also as a problem document, and as plain text', async () => {
    const problem = '{"type":"about:blank","title":"Not found","detail":"No such thing.","code":"not_found"}';
    expect(await errorOf(404, problem)).to.include({ code: 'not_found', message: 'No such thing.' });
    expect(await errorOf(502, 'upstream connect error\n')).to.include({ message: 'upstream connect error' });
  });

  it('tells when to ask again, from seconds and from a date', async () => {
    expect(await errorOf(503, '', { 'Retry-After': '7' })).to.include({ retryAfter: 7 });
    const date = new Date(Date.now() + 90_000).toUTCString();
    expect((await errorOf(503, '', { 'Retry-After': date })).retryAfter).to.be.within(1, 90);
    for (const value of ['soon', '-1'])
      expect((await errorOf(503, '', { 'Retry-After': value })).retryAfter, value).to.be.undefined;
    expect((await errorOf(503, '')).retryAfter).to.be.undefined;
  });

  it('does not take a page of HTML, or half of an answer, for success', async () => {
    for (const body of ['<html>Log in</html>', '{"metadata":{"na']) {
      const url = await serve((_request, response) => response.end(body));
      const error = await failureOf(new Client(url, 'k').get('/x'));
      expect(error.message).to.equal('The server responded with status 200 and a body that is not JSON.');
    }
    const url = await serve((_request, response) => response.writeHead(204).end());
    expect(await new Client(url, 'k').put('/x', {})).to.include({ status: 204, body: undefined });
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
