import { createHmac, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { packageRoot } from '../../src/config.js';
import { idempotency } from '../../src/data/idempotency.js';
import { instances } from '../../src/data/instance.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { HookAnswer } from '../../src/model/hook.js';
import type { Instance } from '../../src/model/instance.js';
import { checkedFetch } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/hooks/github';
const secret = 'It is a secret to everybody';

interface Event {
  action?: string;
  workflow_job?: Record<string, unknown>;
  repository: { full_name: string };
}

function fixture(name: string): Event {
  const file = join(packageRoot(), 'test', 'fixtures', 'github', `${name}.json`);
  return JSON.parse(readFileSync(file, 'utf8')) as Event;
}

const userData = `#!/bin/sh
run --name {{instance.name}} --labels {{ job.labels }} --repo {{job.repository}} --job {{job.id}}/{{job.run_id}}
`;

const rule = {
  name: 'small',
  labels: ['self-hosted', 'Linux', 'small'],
  project: 'default',
  region: 'simulated',
  flavor: 'tiny',
  image: 'sim-linux',
  userData,
  limit: 2,
  lifetime: 1,
};

const rules = [
  { ...rule, name: 'private', labels: ['self-hosted', 'private'], repositories: ['octo/*'] },
  rule,
];

describe('the hook for GitHub', () => {
  let server: TestServer;
  let job = 5_000_000;

  before(async () => {
    server = await startServer({
      flags: { hooks: { github: { secret, rules } }, tasks: { sweep: 0.1 }, limits: { requests: 0 } },
    });
  });
  after(() => server.stop());
  beforeEach(() => (job += 1000));

  const signature = (body: string | Buffer, key = secret) =>
    `sha256=${createHmac('sha256', key).update(body).digest('hex')}`;

  interface Sending {
    name?: string;
    id?: string;
    headers?: Record<string, string>;
  }

  function raw(
    body: string | Buffer,
    { name = 'workflow_job', id = randomUUID(), headers = {} }: Sending = {},
  ) {
    return checkedFetch(server.url + path, {
      method: 'POST',
      body,
      headers: {
        'Content-Type': 'application/json',
        'X-GitHub-Event': name,
        'X-GitHub-Delivery': id,
        'X-Hub-Signature-256': signature(body),
        ...headers,
      },
    });
  }

  async function send(event: object, sending: Sending = {}): Promise<HookAnswer> {
    const response = await raw(JSON.stringify(event), sending);
    const text = await response.text();
    expect(response.status, text).to.equal(202);
    return JSON.parse(text) as HookAnswer;
  }

  const event = (action: string, id: number, more: Record<string, unknown> = {}): Event => {
    const whole = fixture(`workflow_job.${action}`);
    const runner = action === 'queued' ? null : `gh-${id}`;
    const created = new Date().toISOString();
    return {
      ...whole,
      workflow_job: { ...whole.workflow_job, id, created_at: created, runner_name: runner, ...more },
    };
  };

  async function named(name: string): Promise<Instance | undefined> {
    const { body } = await server.admin.get<Instance[]>('/api/v2/instances?limit=1000');
    return body.find(({ metadata }) => metadata.name === name);
  }

  const isGone = (id: number) =>
    eventually(async () => ((await named(`gh-${id}`)) === undefined ? true : undefined));

  it('makes an instance for a queued job, and deletes it when the job is completed', async () => {
    const answer = await send(event('queued', job));
    expect(answer).to.deep.equal({ result: 'accepted', instance: `gh-${job}` });
    const made = await named(`gh-${job}`);
    const id = made?.metadata.id ?? '';
    expect(made?.metadata).to.deep.include({ createdBy: 'hook:github' });
    const left = Date.parse(made?.spec.expiresAt ?? '') - Date.now();
    expect(left).to.be.within(3_500_000, 3_600_000);
    const stored = await server.app.store.get(instances, id);
    expect(Buffer.from(stored?.value.userData ?? '', 'base64').toString()).to.equal(
      `#!/bin/sh\nrun --name gh-${job} --labels self-hosted,Linux,small --repo Codertocat/Hello-World --job ${job}/940463255\n`,
    );
    expect((await send(event('in_progress', job))).result).to.equal('ignored');
    await server.settled(id);
    expect((await send(event('completed', job))).result).to.equal('accepted');
    await isGone(job);
    const { body } = await server.admin.get<AuditEvent[]>(`/api/v2/admin/events?resourceID=${job}`);
    expect(body.map(({ action, user }) => [action, user.name])).to.deep.equal([
      ['hook.queued', 'hook:github'],
      ['hook.completed', 'hook:github'],
    ]);
  });

  it('answers a repeated delivery the same, and acts once for a job', async () => {
    const id = randomUUID();
    const [first, second] = await Promise.all([
      send(event('queued', job), { id }),
      send(event('queued', job), { id }),
    ]);
    expect(second).to.deep.equal(first);
    expect(await send(event('completed', job + 1), { id })).to.deep.equal(first);
    // The signature does not cover the id of the delivery: a replay under another one has no effect either.
    expect(await send(event('queued', job))).to.deep.include({ result: 'ignored' });
    expect((await send(event('completed', job))).result).to.equal('accepted');
    expect((await send(event('queued', job))).result).to.equal('ignored');
    expect((await send(event('completed', job))).result).to.equal('ignored');
    await isGone(job);
  });

  it('makes no instance for a job that is completed before it is queued, or is old', async () => {
    expect((await send(event('completed', job))).result).to.equal('ignored');
    expect((await send(event('queued', job))).result).to.equal('ignored');
    const old = event('queued', job + 1, { created_at: '2026-01-01T00:00:00Z' });
    expect(await send(old)).to.deep.equal({ result: 'ignored', reason: 'The job is too old.' });
    expect(await named(`gh-${job}`)).to.equal(undefined);
  });

  it('keeps the limit of a rule: further jobs wait until there is room', async () => {
    const answers = await Promise.all([0, 1, 2, 3].map((step) => send(event('queued', job + step))));
    expect(answers.map(({ result }) => result).sort()).to.deep.equal([
      'accepted',
      'accepted',
      'waiting',
      'waiting',
    ]);
    const taken = [0, 1, 2, 3].filter((step) => answers[step]?.result === 'accepted');
    const waiting = [0, 1, 2, 3].filter((step) => answers[step]?.result === 'waiting');
    for (const step of taken) await send(event('completed', job + step));
    for (const step of waiting) await eventually(() => named(`gh-${job + step}`));
    for (const step of waiting) await send(event('completed', job + step));
    for (const step of [0, 1, 2, 3]) await isGone(job + step);
  });

  it('deletes the instance that ran the job, which may be that of another job', async () => {
    await send(event('queued', job));
    await send(event('queued', job + 1));
    const done = await send(event('completed', job, { runner_name: `gh-${job + 1}` }));
    expect(done).to.deep.equal({ result: 'accepted', instance: `gh-${job + 1}` });
    await isGone(job + 1);
    expect(await named(`gh-${job}`)).to.exist;
    await send(event('completed', job + 1, { runner_name: `gh-${job}` }));
    await isGone(job);
  });

  it('leaves the instance alone when the runner of another repository bears its name', async () => {
    const labels = { labels: ['self-hosted', 'private'] };
    const octo = { repository: { ...fixture('workflow_job.queued').repository, full_name: 'octo/app' } };
    expect((await send({ ...event('queued', job, labels), ...octo })).result).to.equal('accepted');
    const foreign = event('completed', job + 1, { ...labels, runner_name: `gh-${job}` });
    expect((await send(foreign)).result).to.equal('ignored');
    expect((await named(`gh-${job}`))?.metadata.deletionTime).to.equal(undefined);
    expect((await send({ ...event('completed', job, labels), ...octo })).result).to.equal('accepted');
    await isGone(job);
  });

  it('finds room again when an instance is gone without a "completed"', async () => {
    for (const step of [0, 1]) await send(event('queued', job + step));
    expect((await send(event('queued', job + 2))).result).to.equal('waiting');
    const lost = await named(`gh-${job}`);
    await server.deleteInstance(lost?.metadata.id ?? '');
    await eventually(() => named(`gh-${job + 2}`));
    for (const step of [1, 2]) await send(event('completed', job + step));
    for (const step of [1, 2]) await isGone(job + step);
  });

  it('ignores what no rule wants', async () => {
    for (const labels of [[], ['ubuntu-latest'], ['self-hosted', 'gpu'], ['self-hosted', 'private']])
      expect((await send(event('queued', job, { labels }))).result, labels.join()).to.equal('ignored');
    expect((await send(fixture('ping'), { name: 'ping' })).result).to.equal('ignored');
    expect((await send({}, { name: 'push' })).reason).to.include('"push"');
    expect((await send({}, { name: 'x'.repeat(100) })).result).to.equal('ignored');
  });

  it('refuses signatures that are missing, of another secret, algorithm or body', async () => {
    const body = JSON.stringify(event('queued', job));
    const other = JSON.stringify(event('queued', job + 1));
    const sha1 = `sha1=${createHmac('sha1', secret).update(body).digest('hex')}`;
    for (const wrong of [
      '',
      'sha256=',
      'sha256=0',
      signature(body, 'another secret'),
      signature(body, ''),
      signature(other),
      signature(`${body} `),
      sha1,
      signature(body).replace('sha256', 'sha512'),
      signature(body).toUpperCase(),
      `${signature(body)}, ${signature(body)}`,
      `${signature(body)}00`,
    ]) {
      const response = await raw(body, { headers: { 'X-Hub-Signature-256': wrong } });
      expect(response.status, wrong).to.equal(403);
    }
    expect(await named(`gh-${job}`)).to.equal(undefined);
    const bare = await raw(body, { headers: { 'X-Hub-Signature': sha1, 'X-Hub-Signature-256': '' } });
    expect(bare.status).to.equal(403);
  });

  it('stores nothing before it has seen the signature, whatever key comes with it', async () => {
    const headers = { 'X-Hub-Signature-256': signature('another'), 'Idempotency-Key': 'hook' };
    const before = await server.app.store.count(idempotency, {});
    const body = JSON.stringify(event('queued', job));
    expect((await raw(body, { headers })).status).to.equal(403);
    expect((await raw(body, { headers: { 'Idempotency-Key': 'hook' } })).status).to.equal(202);
    expect(await server.app.store.count(idempotency, {})).to.equal(before);
    expect((await raw(body, { headers })).status).to.equal(403);
    await send(event('completed', job));
    await isGone(job);
  });

  it('refuses bodies that are too large, bombs, of another type, or of another form', async () => {
    const status = async (body: string | Buffer, sending: Sending = {}) => (await raw(body, sending)).status;
    expect(await status(JSON.stringify({ a: 'x'.repeat(2 ** 21) }))).to.equal(413);
    const bomb = gzipSync(Buffer.alloc(2 ** 28, 0x20));
    expect(await status(bomb, { headers: { 'Content-Encoding': 'gzip' } })).to.equal(413);
    const forms = { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } };
    for (const form of ['', 'payload', 'payload=', 'payload=%7B', 'payload=[]', 'other=%7B%7D', '{}'])
      expect(await status(form, forms), form).to.equal(400);
    expect(await status('{}', { headers: { 'Content-Type': 'text/plain' } })).to.equal(415);
    expect(await status('not json')).to.equal(400);
    expect(await status('[]')).to.equal(400);
    expect(await status(JSON.stringify({ action: 'queued' }))).to.equal(400);
    expect(await status(JSON.stringify(event('queued', -1)))).to.equal(400);
    expect(await status(JSON.stringify(event('queued', job, { labels: 'small' })))).to.equal(400);
    expect(await status(JSON.stringify(event('queued', job)), { id: 'no-uuid' })).to.equal(400);
    const repository = { full_name: 'evil/$(reboot)' };
    expect(await status(JSON.stringify({ ...event('queued', job), repository }))).to.equal(400);
  });

  it('accepts the other content type of GitHub, a form with the event as payload', async () => {
    const payload = event('queued', job, { name: 'build & test, 100 % – ümläut' });
    const form = `payload=${encodeURIComponent(JSON.stringify(payload)).replaceAll('%20', '+')}`;
    const sending = { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } };
    const response = await raw(form, sending);
    expect(response.status).to.equal(202);
    expect(await response.json()).to.deep.equal({ result: 'accepted', instance: `gh-${job}` });
    const forged = { ...sending.headers, 'X-Hub-Signature-256': signature(JSON.stringify(payload)) };
    expect((await raw(form, { headers: forged })).status).to.equal(403);
    await send(event('completed', job));
    await isGone(job);
  });

  it('tells the sender and the log why an instance cannot be created, and tries again', async () => {
    const flags = '/api/v2/admin/service_flags';
    await server.admin.patch(flags, { creation: false });
    const id = randomUUID();
    const answer = await send(event('queued', job), { id });
    expect(answer.result).to.equal('waiting');
    expect(answer.reason).to.include('tried again').and.include('switched off');
    // A repeat is told the same.
    expect(await send(event('queued', job), { id })).to.deep.equal(answer);
    const warnings = server.log.entries.filter(({ details }) => details['jobId'] === String(job));
    expect(warnings).to.have.length(1);
    expect(warnings[0]?.details).to.include({
      rule: 'small',
      repository: event('queued', job).repository.full_name,
    });
    await server.admin.patch(flags, { creation: null });
    await eventually(
      async () => (await server.app.store.count(instances, { filter: { name: `gh-${job}` } })) === 1,
    );
    await send(event('completed', job));
    await isGone(job);
  });

  it('is switched off by its flag', async () => {
    const flags = '/api/v2/admin/service_flags';
    const set = (hooks: boolean | null) =>
      server.admin.call('PATCH', flags, {
        body: { hooks },
        headers: { 'Content-Type': 'application/merge-patch+json' },
      });
    await set(false);
    expect((await raw(JSON.stringify(event('queued', job)))).status).to.equal(503);
    await set(null);
    expect((await send(event('queued', job))).result).to.equal('accepted');
    await send(event('completed', job));
    await isGone(job);
  });

  it('is not there without a secret', async () => {
    const other = await startServer();
    try {
      const body = JSON.stringify(event('queued', job));
      const response = await checkedFetch(other.url + path, {
        method: 'POST',
        body,
        headers: { 'Content-Type': 'application/json', 'X-Hub-Signature-256': signature(body, '') },
      });
      expect(response.status).to.equal(404);
    } finally {
      await other.stop();
    }
  });
});
