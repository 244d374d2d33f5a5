import { execFile } from 'node:child_process';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { unkeyed } from '../../src/client/client.js';
import {
  CallError,
  ConnectionError,
  createClient,
  type Event,
  followEvents,
  TaskError,
  WaitTimeoutError,
  waitForTask,
} from '../../src/client/index.js';
import { packageRoot } from '../../src/config.js';
import { checkedFetch } from '../support/conform.js';
import {
  adminKey,
  cleanUp,
  createInstance,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../support/process.js';

const run = promisify(execFile);

describe('the client library', function () {
  this.timeout(60_000);

  describe('against a server', () => {
    let folder: string;
    let server: ServerProcess;
    before(async () => {
      folder = temporaryFolder();
      server = await startServer({ dataDir: folder, args: ['--region', 'simulated'] });
    });
    after(async () => {
      await server.kill('SIGTERM');
      await cleanUp(folder);
    });

    const client = () => createClient(server.url, adminKey, { fetch: checkedFetch });

    it('waits for tasks, tells their steps, and fails with the task', async () => {
      const offer = await offerOf(server.client, 'sim-linux');
      const { status } = await createInstance(server.client, 'waited', offer);
      const states: string[] = [];
      const onProgress = (task: { status: string }) => states.push(task.status);
      await waitForTask(client(), status.taskId ?? '', { onProgress });
      expect(states.at(-1)).to.equal('succeeded');

      await client().patch('/api/v2/admin/service_flags', { 'instance.create': false });
      const held = await createInstance(server.client, 'held', offer);
      const id = held.status.taskId ?? '';
      const late = await waitForTask(client(), id, { timeout: 1 }).catch((error: unknown) => error);
      expect(late).to.be.an.instanceOf(WaitTimeoutError);
      await client().post(`/api/v2/tasks/${id}/abort`);
      const failed = await waitForTask(client(), id).catch((error: unknown) => error);
      expect(failed).to.be.an.instanceOf(TaskError);
      expect((failed as TaskError).task).to.include({ id, status: 'cancelled' });
      await client().patch('/api/v2/admin/service_flags', { 'instance.create': true });
    });

    it('gives up waiting when its signal says so', async () => {
      const signal = AbortSignal.abort(new Error('enough'));
      const error = await waitForTask(client(), '01a1fc40-e4c0-7555-8353-2d75db03d2a7', { signal }).catch(
        (reason: unknown) => reason,
      );
      expect((error as Error).message).to.equal('enough');
    });

    it('runs the program in examples/', async () => {
      const { stdout } = await run(process.execPath, [join(packageRoot(), 'examples', 'fleet.mjs'), '2'], {
        env: { ...process.env, COPSE_URL: server.url, COPSE_API_KEY: adminKey },
      });
      const lines = stdout.trim().split('\n');
      expect(lines.slice(0, 4)).to.deep.equal([
        'fleet-1 runs',
        'fleet-2 runs',
        'fleet-1 Running',
        'fleet-2 Running',
      ]);
      expect(lines.at(-1)).to.equal('deleted');
    });

    it('knows which POST routes have no Idempotency-Key', async () => {
      const document = (
        await client().get<{ paths: Record<string, Record<string, Operation>> }>('/openapi.json')
      ).body;
      const posts = Object.entries(document.paths).filter(
        ([, operations]) => operations['post'] !== undefined,
      );
      const without = posts.filter(([, { post }]) => {
        const references = (post?.parameters ?? []).map((one) => one.$ref ?? '');
        return !references.includes('#/components/parameters/IdempotencyKey');
      });
      const paths = without.map(([path]) => path);
      expect(paths).to.include('/api/v2/subscriptions');
      expect(posts.map(([path]) => path).filter((path) => unkeyed.test(path))).to.have.members(paths);
    });
  });

  describe('against a server that has faults', () => {
    const servers: Server[] = [];
    afterEach(async () => {
      for (const server of servers.splice(0)) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    });
    const serve = async (listener: RequestListener) => {
      const server = createServer(listener);
      servers.push(server);
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    };

    it('repeats a POST whose response was lost, under one key', async () => {
      const keys: unknown[] = [];
      const url = await serve((request, response) => {
        keys.push(request.headers['idempotency-key']);
        if (keys.length < 3) request.socket.destroy();
        else response.end('{"done":true}');
      });
      const { body } = await createClient(url, 'k').post('/api/v2/instances', {});
      expect(body).to.deep.equal({ done: true });
      expect(keys).to.have.length(3);
      expect(new Set(keys).size).to.equal(1);
      expect(keys[0]).to.be.a('string');
    });

    it('does not repeat a POST that makes a secret', async () => {
      let requests = 0;
      const url = await serve((request) => {
        requests += 1;
        request.socket.destroy();
      });
      const error = await createClient(url, 'k')
        .post('/api/v2/subscriptions', {})
        .catch((reason: unknown) => reason);
      expect(error).to.be.an.instanceOf(ConnectionError);
      expect(requests).to.equal(1);
    });

    it('honours Retry-After and `retryable`', async () => {
      const times: number[] = [];
      const url = await serve((_request, response) => {
        times.push(Date.now());
        const isFirst = times.length === 1;
        response.statusCode = isFirst ? 503 : 409;
        if (isFirst) response.setHeader('Retry-After', '1');
        response.end(
          `{"code":"${isFirst ? 'unavailable' : 'name_taken'}","message":"m","retryable":${isFirst}}`,
        );
      });
      const error = await createClient(url, 'k')
        .get('/x')
        .catch((reason: unknown) => reason);
      expect(error).to.be.an.instanceOf(CallError).and.to.include({ code: 'name_taken' });
      expect(times).to.have.length(2);
      expect((times[1] ?? 0) - (times[0] ?? 0)).to.be.at.least(990);
    });

    it('resumes events where the connection broke', async () => {
      const positions: unknown[] = [];
      const url = await serve((request, response) => {
        positions.push(request.headers['last-event-id']);
        const id = positions.length * 10;
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        const event = { id: String(id), type: 'instance.created' };
        response.write(
          `: hello\n\nid: ${id}\nevent: instance.created\ndata: ${JSON.stringify(event)}\n\n`,
          () => response.destroy(),
        );
      });
      const end = new AbortController();
      const events: Event[] = [];
      for await (const event of followEvents(createClient(url, 'k'), { signal: end.signal })) {
        events.push(event);
        if (events.length === 3) end.abort();
      }
      expect(events.map(({ id }) => id)).to.deep.equal(['10', '20', '30']);
      expect(positions.slice(0, 3)).to.deep.equal([undefined, '10', '20']);
    });
  });

  it('is in the package, with its types and what it imports, and without sources and tests', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: packageRoot(),
      maxBuffer: 2 ** 26,
    });
    const [{ files } = { files: [] }] = JSON.parse(stdout) as { files: { path: string }[] }[];
    const paths = files.map(({ path }) => path);
    expect(paths).to.include.members(['dist/main.js', 'dist/client/index.js', 'dist/client/index.d.ts']);
    expect(paths).to.include('config/default.yaml');
    // What pages are made of is read where it lies; everything else of src is compiled.
    const made = paths.filter((path) => !/^src\/page\/\w+\.(css|js|liquid)$/.test(path));
    expect(paths).to.include('src/page/page.liquid');
    expect(made.filter((path) => /^(src|test|bench|build|data|node_modules)\//.test(path))).to.deep.equal([]);
  });
});

interface Operation {
  parameters?: { $ref?: string }[];
}
