/** Options of the HTTP server that operators tune, and what each does to a connection. */
import { spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Instance } from '../../../src/model/instance.js';
import { EventStream } from '../../support/event-stream.js';
import { wire } from '../../support/fuzz-http.js';
import { converse, get } from '../../support/fuzz-socket.js';
import { adminKey, startServer, testConfig, type TestServer } from '../../support/server.js';

const connectionsFile = join(import.meta.dirname, '../../support/connections-child.js');
const keepAlive = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';

describe('an option of the server', function () {
  this.timeout(30_000);
  let server: TestServer | undefined;
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  /** Milliseconds from the answer on a connection to its end by the server, or undefined while it is still open. */
  async function idleEnd(url: string, within: number): Promise<number | undefined> {
    const { hostname, port } = new URL(url);
    const socket: Socket = connect(Number(port), hostname);
    const answered = await new Promise<number>((resolve, reject) => {
      socket.once('data', () => resolve(performance.now()));
      socket.once('error', reject);
      socket.write(keepAlive);
    });
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        resolve(undefined);
        socket.destroy();
      }, within);
      socket.resume().once('end', () => {
        clearTimeout(timer);
        socket.destroy();
        resolve(performance.now() - answered);
      });
    });
  }

  it('keeps an idle connection for as long as keepAliveTimeout says, which outlasts load balancers by default', async () => {
    expect(testConfig('/nowhere').server.keepAliveTimeout).to.be.above(60);
    server = await startServer();
    const [reply] = (await converse(server.url, keepAlive, { answers: 1 })).replies;
    expect(reply?.headers.get('keep-alive')).to.equal('timeout=65');
    expect(await idleEnd(server.url, 7000), 'the end of a connection that is idle for 7 s').to.be.undefined;
    await server.stop();

    server = await startServer({ flags: { server: { keepAliveTimeout: 0.5 } } });
    expect(await idleEnd(server.url, 20_000)).to.be.within(400, 10_000);
  });

  it('lets as many connections wait as backlog says while the process is busy', async () => {
    for (const [backlog, least, most] of [
      [3, 3, 4],
      [64, 20, 20],
    ] as const) {
      server = await startServer({ flags: { server: { backlog } } });
      // It accepts none of them meanwhile: this process waits for the other.
      const child = spawnSync(process.execPath, [connectionsFile, server.url, '20'], { encoding: 'utf8' });
      expect(Number(child.stdout), child.stderr).to.be.within(least, most);
      await server.stop();
      server = undefined;
    }
  });

  it('takes headers up to headerLimit, and refuses more', async () => {
    for (const [headerLimit, size, status] of [
      [16_384, 15_000, 200],
      [16_384, 17_000, 431],
      [65_536, 60_000, 200],
    ] as const) {
      server = await startServer({ flags: { server: { headerLimit } } });
      const request = get('/health').replace('Host: x', `Host: x\r\nX-Long: ${'x'.repeat(size)}`);
      const { replies } = await converse(server.url, request, { within: 20_000 });
      expect(replies[0]?.status, `${size} of ${headerLimit}`).to.equal(status);
      await server.stop();
      server = undefined;
    }
  });

  it('sends a sign of life on a quiet stream each heartbeat, and ends it at its limit', async () => {
    server = await startServer({ flags: { events: { heartbeat: 0.05, streamLimit: 2 } } });
    const reply = await wire(`${server.url}/api/v2/events`, {
      method: 'GET',
      headers: { Authorization: `Bearer ${adminKey}`, Accept: 'text/event-stream' },
    });
    expect(reply.bytes.toString().split(': still here').length - 1).to.be.above(3);
  });

  it('lets streams live while nothing is due', async () => {
    server = await startServer({ flags: { events: { streamLimit: 86_400, heartbeat: 86_400 } } });
    const stream = await EventStream.open({ url: server.url, key: adminKey });
    const { metadata } = await server.createInstance('seen');
    expect((await stream.next())?.type).to.equal('instance.created');
    expect(metadata.name).to.equal('seen');
    stream.close();
  });

  it('publicUrl may have any host: links and locations have it as a header can hold it', async () => {
    server = await startServer({ flags: { server: { publicUrl: 'http://例え.jp/copse/' } } });
    const created = await server.admin.post<Instance>('/api/v2/instances', server.instanceBody('abroad'));
    expect(created.status).to.equal(201);
    const base = 'http://xn--r8jz45g.jp/copse/api/v2/instances';
    expect(created.headers.get('location')).to.equal(`${base}/${created.body.metadata.id}`);
    const listed = await server.admin.get('/api/v2/instances?limit=1');
    expect([listed.status, listed.headers.get('link')]).to.deep.equal([
      200,
      `<${base}?limit=1>; rel="first"`,
    ]);
  });
});
