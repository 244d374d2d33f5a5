/** What operators see: one log line for each request, metrics by route pattern, and traces. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { startApp } from '../../../src/app.js';
import type { Instance } from '../../../src/model/instance.js';
import { Api } from '../../support/conform.js';
import { eventually } from '../../support/eventually.js';
import { absentId } from '../../support/fuzz-seed.js';
import { wire } from '../../support/fuzz-http.js';
import { converse } from '../../support/fuzz-socket.js';
import type { LogEntry } from '../../support/log.js';
import { addPerson } from '../../support/people.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const traceparent = `00-${traceId}-${parentId}-01`;

const malformedParents = [
  '',
  'nonsense',
  traceparent.toUpperCase(),
  `00-${'0'.repeat(32)}-${parentId}-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId.slice(1)}-${parentId}-01`,
  `00-${traceId}-${parentId}`,
  `00-${traceId}-${parentId}-01-more`,
  `ff-${traceId}-${parentId}-01`,
  ` ${traceparent}x`,
  'x'.repeat(5000),
];

describe('the log', () => {
  let server: TestServer;
  const lines = (requestId: string): LogEntry[] =>
    server.log.entries.filter(
      ({ message, details }) => message === 'request' && details['requestId'] === requestId,
    );
  /** The one line of the request. It is written when the answer is out, which may be after we have it. */
  const lineOf = async (requestId: string) => {
    await eventually(() => lines(requestId).length > 0, { what: `the line of ${requestId}` });
    expect(lines(requestId), requestId).to.have.length(1);
    return lines(requestId)[0]?.details ?? {};
  };
  let count = 0;
  const ask = async (method: string, target: string, headers: Record<string, string> = {}, body?: string) => {
    count += 1;
    const id = `asked-${count}`;
    const given = { Authorization: `Bearer ${adminKey}`, 'X-Request-Id': id, ...headers };
    const reply = await wire(server.url + target, { method, headers: given, body });
    return { reply, line: await lineOf(id) };
  };

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('has one line for each request: id, method, route pattern, status, time, user and bytes', async () => {
    const { metadata } = await server.running('logged');
    const json = { 'Content-Type': 'application/json' };
    const cases: [string, string, Record<string, string>, string | undefined, Record<string, unknown>][] = [
      [
        'GET',
        `${path}/${metadata.id}`,
        {},
        undefined,
        { route: `${path}/{instanceID}`, status: 200, user: 'admin' },
      ],
      [
        'HEAD',
        `${path}/${metadata.id}`,
        {},
        undefined,
        { route: `${path}/{instanceID}`, status: 200, user: 'admin' },
      ],
      ['GET', `${path}?limit=1&tag=a%3Db`, {}, undefined, { route: path, status: 200, user: 'admin' }],
      ['POST', path, json, '{}', { route: path, status: 400, user: 'admin' }],
      [
        'GET',
        `${path}/${absentId}`,
        {},
        undefined,
        { route: `${path}/{instanceID}`, status: 404, user: 'admin' },
      ],
      ['GET', path, { Authorization: 'Bearer wrong' }, undefined, { route: path, status: 401, user: null }],
      ['GET', '/health', {}, undefined, { route: '/health', status: 200, user: null }],
      ['GET', '/docs/no-such-file', {}, undefined, { route: '/docs/{asset}', status: 404 }],
      ['GET', '/nowhere/at/all', {}, undefined, { route: null, status: 404, user: null }],
      ['DELETE', path, {}, undefined, { route: null, status: 405 }],
      ['OPTIONS', path, {}, undefined, { route: null, status: 204 }],
      [
        'POST',
        `${path}/${metadata.id}/stop`,
        {},
        undefined,
        { route: `${path}/{instanceID}/stop`, status: 202 },
      ],
    ];
    for (const [method, target, headers, body, expected] of cases) {
      const { reply, line } = await ask(method, target, headers, body);
      expect(line, `${method} ${target}`).to.include({ method, ...expected });
      expect(reply.status).to.equal(expected['status']);
      expect(line['ms'], target).to.be.a('number').within(0, 5000);
      if (method !== 'HEAD' && reply.bytes.length > 0)
        expect(line['bytes'], target).to.equal(reply.bytes.length);
    }
  });

  it('has a line also for a request whose client left before the answer', async () => {
    const { metadata } = await server.running('logged-left');
    server.cloud.program({ verb: 'consoleOutput', delay: 5000, times: 1 });
    const leave = new AbortController();
    const asked = wire(`${server.url}${path}/${metadata.id}/consoleoutput`, {
      headers: { Authorization: `Bearer ${adminKey}`, 'X-Request-Id': 'left-early' },
      signal: leave.signal,
    }).catch(() => undefined);
    setTimeout(() => leave.abort(), 50);
    await asked;
    expect(await lineOf('left-early')).to.include({
      route: `${path}/{instanceID}/consoleoutput`,
      user: 'admin',
      status: 499,
      bytes: 0,
    });
  });

  it('has a line for each of the pipelined requests whose client left', async () => {
    const { metadata } = await server.running('pipelined-left');
    server.cloud.program({ verb: 'consoleOutput', delay: 300, times: 2 });
    const bytes = ['first-left', 'second-left'].map(
      (id) =>
        `GET ${path}/${metadata.id}/consoleoutput HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${adminKey}\r\nX-Request-Id: ${id}\r\n\r\n`,
    );
    // When the first is answered, the others of the same packet have begun.
    const health = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';
    await converse(server.url, health + bytes.join(''), { answers: 1 });
    for (const id of ['first-left', 'second-left']) expect(await lineOf(id)).to.include({ status: 499 });
  });

  it('names the cause of a refusal, but not what the client sent', async () => {
    const json = { 'Content-Type': 'application/json' };
    const { line } = await ask('POST', path, json, '{"a":nonsense}');
    expect(line['cause'])
      .to.match(/^SyntaxError: /)
      .and.not.to.include('nonsense');
    expect((await ask('GET', '/nowhere')).line).not.to.have.property('cause');
  });

  it('never shows what a query held, nor any secret: keys, tokens, user data', async () => {
    const person = await addPerson(server.app, 'discreet');
    const marks = ['query-mark', 'header-mark', 'dXNlci1kYXRhLW1hcms='];
    const [inQuery = '', inHeader = '', inBody = ''] = marks;
    const wish = JSON.stringify(server.instanceBody('discreet', { spec: { userData: inBody } }));
    const json = { 'Content-Type': 'application/json' };
    const tries: [string, string, Record<string, string>, string?][] = [
      ['GET', `/${person.key}`, {}],
      ['GET', `${path}/${adminKey}?x=${inQuery}`, {}],
      ['GET', `${path}?${inQuery}=${inQuery}`, {}],
      ['GET', path, { Authorization: `Bearer ${inHeader}` }],
      ['GET', path, { Authorization: `Basic ${inHeader}` }],
      ['GET', path, { Authorization: '', 'Api-User': 'admin', 'Api-Key': inHeader }],
      ['GET', path, { Authorization: `Bearer ${person.key}` }],
      ['GET', path, { Cookie: inHeader, Prefer: inHeader }],
      ['POST', path, json, wish],
      ['POST', path, json, wish],
      ['POST', path, { ...json, 'Idempotency-Key': inHeader }, wish],
    ];
    for (const [method, target, headers, body] of tries) await ask(method, target, headers, body);
    const text = inspect(server.log.entries, { depth: 20, maxStringLength: null, maxArrayLength: null });
    for (const secret of [...marks, adminKey, person.key]) expect(text.includes(secret), secret).to.be.false;
  });

  it('names the trace of a request that came with one, and hands it on to the task', async () => {
    const id = 'traced';
    const reply = await server.admin.post<Instance>(path, server.instanceBody('traced'), {
      headers: { traceparent, 'X-Request-Id': id },
    });
    expect((await lineOf(id))['traceId']).to.equal(traceId);
    const { requester } = await server.task(reply.body.status.taskId);
    expect(requester).to.include({ requestId: id, user: 'admin' });
    expect(requester.traceparent).to.match(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
  });

  it('names no trace where none or a malformed one came', async () => {
    for (const [index, malformed] of malformedParents.entries()) {
      const id = `untraced-${index}`;
      const headers = { traceparent: malformed, 'X-Request-Id': id };
      const reply = await server.admin.post<Instance>(path, server.instanceBody(id), { headers });
      expect(reply.status, malformed).to.equal(201);
      expect(await lineOf(id), malformed).not.to.have.property('traceId');
      expect((await server.task(reply.body.status.taskId)).requester, malformed).not.to.have.property(
        'traceparent',
      );
    }
  });
});

describe('/metrics', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  /** The number of requests, by the labels that it is counted under. */
  async function counted(): Promise<Map<string, number>> {
    const { text, headers } = await new Api(server.url).get('/metrics');
    expect(headers.get('content-type')).to.match(/^text\/plain; version=0\.0\.4/);
    const found = text.matchAll(
      /^copse_http_request_duration_seconds_count\{method="([^"]*)",route="([^"]*)",status="(\d+)"\} (\d+)$/gm,
    );
    return new Map(
      [...found].map(([, method = '', route = '', status = '', value]) => [
        `${method} ${route} ${status}`,
        Number(value),
      ]),
    );
  }

  it('counts each request once, by method, route pattern and status', async () => {
    const { metadata } = await server.running('counted');
    const before = await counted();
    for (let n = 0; n < 3; n += 1) await server.admin.get(`${path}/${metadata.id}`);
    await server.admin.get(`${path}/${absentId}`);
    await server.admin.call('HEAD', `${path}/${metadata.id}`);
    await new Api(server.url).get(path);
    await server.admin.get('/nowhere');
    const expected: [string, number][] = [
      [`GET ${path}/{instanceID} 200`, 3],
      [`GET ${path}/{instanceID} 404`, 1],
      [`HEAD ${path}/{instanceID} 200`, 1],
      [`GET ${path} 401`, 1],
      ['any unmatched 404', 1],
    ];
    await eventually(async () => {
      const after = await counted();
      for (const [series, more] of expected)
        expect((after.get(series) ?? 0) - (before.get(series) ?? 0), series).to.equal(more);
      return true;
    });
  });

  it('times them by route pattern, in buckets that add up', async () => {
    await server.admin.get('/api/v2/tasks');
    await eventually(async () => {
      const { text } = await new Api(server.url).get('/metrics');
      const labels = 'method="GET",route="/api/v2/tasks",status="200"';
      const buckets = [
        ...text.matchAll(
          new RegExp(`^copse_http_request_duration_seconds_bucket\\{le="([^"]+)",${labels}\\} (\\d+)$`, 'gm'),
        ),
      ].map(([, , value]) => Number(value));
      const total = Number(
        new RegExp(`^copse_http_request_duration_seconds_count\\{${labels}\\} (\\d+)$`, 'm').exec(text)?.[1],
      );
      expect(buckets).to.have.length.above(5);
      expect(buckets).to.deep.equal([...buckets].sort((a, b) => a - b));
      expect(buckets.at(-1)).to.equal(total).and.to.be.above(0);
      return true;
    });
  });

  it('has no series for what clients invent: paths, ids, queries and methods', async () => {
    const before = (await new Api(server.url).get('/metrics')).text.split('\n').length;
    const invented = ['PROPFIND', 'TRACE', 'SUBSCRIBE', 'PURGE'];
    for (let n = 0; n < 20; n += 1) {
      await wire(`${server.url}/invented-${n}`, { method: invented[n % 4] ?? '' });
      await wire(`${server.url}${path}`, {
        method: invented[n % 4] ?? '',
        headers: { Authorization: `Bearer ${adminKey}` },
      });
      await wire(`${server.url}${path}/invented-${n}?q=invented`, {
        headers: { Authorization: `Bearer ${adminKey}` },
      });
      await wire(`${server.url}/docs/invented-${n}`);
    }
    const { text } = await new Api(server.url).get('/metrics');
    for (const word of ['invented', ...invented]) expect(text.includes(word), word).to.be.false;
    expect(text.split('\n').length - before).to.be.below(100);
  });
});

interface CollectedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: number } }[];
}

describe('traces', () => {
  let collector: Server;
  let endpoint: string;
  const spans: CollectedSpan[] = [];

  before(async () => {
    collector = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        const sent = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: CollectedSpan[] }[] }[] };
        spans.push(...sent.resourceSpans.flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans)));
        response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
      });
    });
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;
  });
  after(() => new Promise((resolve) => collector.close(resolve)));

  it('reach the configured collector: the request below the client’s span, its task below the request, all in one trace', async () => {
    const server = await startServer({ flags: { tracing: { endpoint } } });
    let taskId: string | undefined;
    try {
      const headers = { traceparent, 'X-Request-Id': 'collected' };
      const reply = await server.admin.post<Instance>(path, server.instanceBody('collected'), { headers });
      taskId = reply.body.status.taskId;
      await server.ended(taskId);
      await server.admin.get('/health');
      await server.admin.get('/api/v2/tasks', {
        headers: { traceparent: 'malformed', 'X-Request-Id': 'own-trace' },
      });
    } finally {
      await server.stop();
    }
    const inTrace = spans.filter((span) => span.traceId === traceId);
    const [request, ...others] = inTrace.filter((span) => span.parentSpanId === parentId);
    expect(others).to.have.length(0);
    expect(request?.name).to.equal(`POST ${path}`);
    expect(spans.map(({ name }) => name)).to.include('GET /health');
    const attributes = Object.fromEntries(
      (request?.attributes ?? []).map(({ key, value }) => [key, value.stringValue ?? value.intValue]),
    );
    expect(attributes).to.include({ 'http.route': path, 'http.response.status_code': 201 });
    const task = inTrace.find((span) => span.name.includes('instance.create'));
    expect(task?.parentSpanId).to.equal(request?.spanId);
    expect(new Set(inTrace.map((span) => span.spanId)).size).to.equal(inTrace.length);

    const line = server.log.entries.find(
      ({ message, details }) => message === 'request' && details['requestId'] === 'own-trace',
    );
    const own = spans.find((span) => span.traceId === line?.details['traceId']);
    expect(own?.parentSpanId ?? '').to.equal('');
    expect(own?.traceId).not.to.equal(traceId);
  });

  it('go on in the worker that an API process asks about a region', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'copse-test-'));
    const flags = { store: 'sqlite:site.sqlite', worker: { listen: true, port: 0 }, tracing: { endpoint } };
    const full = await startServer({ flags, dataDir });
    const { metadata } = await full.running('talker');
    const app = await startApp(full.config, { log: full.log, role: 'api' });
    const asked = `00-${traceId.replace(/^4b/, '5c')}-${parentId}-01`;
    try {
      const api = Api.withKey(app.url, adminKey);
      const headers = { traceparent: asked };
      const reply = await api.get(`${path}/${metadata.id}/consoleoutput`, { headers });
      expect(reply.status).to.equal(200);
    } finally {
      await app.stop();
      await full.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
    const inTrace = spans.filter((span) => span.traceId === asked.split('-')[1]);
    const request = inTrace.find(({ parentSpanId }) => parentSpanId === parentId);
    expect(inTrace.map(({ name, parentSpanId }) => [name, parentSpanId])).to.have.deep.members([
      [`GET ${path}/{instanceID}/consoleoutput`, parentId],
      ['region consoleOutput', request?.spanId],
    ]);
  }).timeout(20_000);

  it('cost nothing when the collector is away: requests are answered, and the server stops soon', async () => {
    const server = await startServer({ flags: { tracing: { endpoint: 'http://127.0.0.1:9/v1/traces' } } });
    expect((await server.admin.get('/api/v2/tasks')).status).to.equal(200);
    const began = performance.now();
    await server.stop();
    expect(performance.now() - began).to.be.below(5000);
  }).timeout(20_000);
});
