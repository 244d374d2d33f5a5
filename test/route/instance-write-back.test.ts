/** What one reads of an instance one can write: PUT and PATCH of what a GET gave, now or earlier. */
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

type Tree = Record<string, unknown>;

/** A copy of the instance with one member changed; undefined takes it away. */
function withMember(instance: Instance, pointer: string, value: unknown): Instance {
  const [, part = '', name = ''] = pointer.split('/');
  const copy = structuredClone(instance) as unknown as Record<string, Tree>;
  if (value === undefined) delete copy[part]?.[name];
  else (copy[part] ??= {})[name] = value;
  return copy as unknown as Instance;
}

describe('what a GET of an instance gave', () => {
  let server: TestServer;

  const at = (instance: Instance) => `/api/v2/instances/${instance.metadata.id}`;
  const read = async (instance: Instance) => {
    const { body, text, headers } = await server.admin.get<Instance>(at(instance));
    return { body, text, tag: headers.get('etag') ?? '' };
  };
  const shows = (instance: Instance, powerState: string) =>
    eventually(async () => {
      const now = await read(instance);
      return now.body.status.powerState === powerState ? now : undefined;
    });
  const patch = (instance: Instance, body: unknown, headers: Record<string, string> = {}) =>
    server.admin.call<Instance>('PATCH', at(instance), {
      raw: JSON.stringify(body),
      headers: { 'Content-Type': 'application/merge-patch+json', ...headers },
    });

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('can be PUT exactly as it is, which changes neither the instance nor its tag', async () => {
    const tags = [{ name: 'a', value: '1' }];
    const expiresAt = new Date(Date.now() + 9e6).toISOString();
    const userData = Buffer.from('#!/bin/sh\n').toString('base64');
    const kinds = [{}, { metadata: { description: 'Mine.', tags } }, { spec: { userData, expiresAt } }];
    for (const [index, over] of kinds.entries()) {
      const instance = await server.running(`same-${index}`, over);
      const before = await read(instance);
      for (const headers of [{}, { 'If-Match': before.tag }]) {
        const reply = await server.admin.call<Instance>('PUT', at(instance), {
          raw: before.text,
          headers: { 'Content-Type': 'application/json', ...headers },
        });
        expect(reply.status, reply.text).to.equal(202);
        expect([reply.text, reply.headers.get('etag')]).to.deep.equal([before.text, before.tag]);
        expect(reply.headers.has('location')).to.be.false;
      }
      expect(await read(instance)).to.deep.equal(before);
    }
  });

  it('can be PUT while a task is at work, and after the instance was changed and has stopped', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const busy = await server.createInstance('at-work');
    expect((await server.admin.put(at(busy), busy)).status).to.equal(202);
    await server.deleteInstance(busy.metadata.id);
    const instance = await server.running('changed-and-stopped');
    const changed = withMember(instance, '/metadata/description', 'Changed.');
    await server.admin.put(at(instance), changed);
    await server.admin.post(`${at(instance)}/stop`);
    await server.settled(instance.metadata.id);
    const now = await read(instance);
    expect(now.body.metadata).to.include.keys('modifiedTime', 'modifiedBy');
    expect((await server.admin.put(at(instance), now.body)).text).to.equal(now.text);
  });

  it('can be PUT with its members in another order, with some left out, and with times in another form', async () => {
    const instance = await server.running('reordered');
    const { metadata, spec, status } = instance;
    const reversed = (part: object) => Object.fromEntries(Object.entries(part).reverse());
    const other = { ...metadata, creationTime: metadata.creationTime.replace('Z', '000+00:00') };
    for (const body of [
      { status: reversed(status), spec: reversed(spec), metadata: reversed(metadata) },
      { metadata, spec },
      { metadata: { name: metadata.name, id: metadata.id }, spec, status: { regionId: status.regionId } },
      { metadata: other, spec, status },
    ]) {
      const reply = await server.admin.put<Instance>(at(instance), body);
      expect(reply.status, reply.text).to.equal(202);
      expect(reply.body).to.deep.equal(instance);
    }
  });

  const fixed: [string, unknown][] = [
    ['/metadata/id', '0193a5c0-0000-7000-8000-000000000001'],
    ['/metadata/creationTime', '2020-01-01T00:00:00Z'],
    ['/metadata/createdBy', 'somebody'],
    ['/metadata/organizationId', '0193a5c0-0000-7000-8000-000000000001'],
    ['/metadata/projectId', '0193a5c0-0000-7000-8000-000000000001'],
    ['/metadata/deletionTime', '2026-01-01T00:00:00Z'],
    ['/metadata/modifiedTime', '2099-01-01T00:00:00Z'],
    ['/metadata/modifiedBy', 'somebody'],
    ['/metadata/provisioningStatus', 'error'],
    ['/metadata/healthStatus', 'error'],
    ['/status/regionId', '0193a5c0-0000-7000-8000-000000000001'],
    ['/status/networkId', '0193a5c0-0000-7000-8000-000000000001'],
    ['/status/powerState', 'Stopped'],
    ['/status/privateIP', '10.9.8.7'],
    ['/status/publicIP', '192.0.2.1'],
    ['/status/macAddress', '02:00:00:00:00:01'],
    ['/status/taskId', '0193a5c0-0000-7000-8000-000000000001'],
    ['/status/expirationWarning', '2026-01-01T00:00:00Z'],
  ];

  it('is refused with 422 when a read-only member was changed, which is named; nothing is written then', async () => {
    const instance = await server.running('read-only');
    const before = await read(instance);
    for (const [pointer, value] of fixed) {
      const body = withMember(withMember(instance, pointer, value), '/metadata/description', 'lost');
      const put = await server.admin.refused('unprocessable', 'PUT', at(instance), { body });
      const merge = await server.admin.refused('unprocessable', 'PATCH', at(instance), { body });
      for (const reply of [put, merge]) {
        expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal([pointer]);
        expect(reply.body.message).to.include(pointer);
      }
    }
    expect(await read(instance)).to.deep.equal(before);
  });

  it('is refused with each changed member by its name, that of the instance too', async () => {
    const instance = await server.running('many-at-once');
    const body = ['/metadata/name', ...fixed.map(([pointer]) => pointer)].reduce(
      (changed, pointer) =>
        withMember(
          changed,
          pointer,
          new Map([['/metadata/name', 'renamed'], ...fixed] as const).get(pointer),
        ),
      instance,
    );
    const reply = await server.admin.refused('unprocessable', 'PUT', at(instance), { body });
    const pointers = reply.body.errors?.map((error) => error.pointer);
    expect(pointers).to.have.members(['/metadata/name', ...fixed.map(([pointer]) => pointer)]);
  });

  it('is refused with 400 when a read-only member has a value that it can never have', async () => {
    const instance = await server.running('misshapen');
    for (const [pointer, value] of [
      ['/metadata/id', 7],
      ['/status/powerState', 'Flying'],
      ['/metadata/creationTime', 'yesterday'],
      ['/status/nonsense', 'x'],
    ] as const) {
      const body = withMember(instance, pointer, value);
      const reply = await server.admin.refused('invalid_body', 'PUT', at(instance), { body });
      expect(reply.body.errors?.[0]?.pointer).to.equal(pointer);
    }
  });

  it('can still be PUT, with and without its tag, after something was observed of the machine', async () => {
    for (const conditional of [true, false]) {
      const instance = await server.running(`observed-${String(conditional)}`);
      const before = await read(instance);
      server.cloud.interfere(instance.metadata.id, { powerState: 'Stopped', message: 'Out of power.' });
      await shows(instance, 'Stopped');
      const body = withMember(before.body, '/metadata/description', 'meanwhile');
      const headers: Record<string, string> = conditional ? { 'If-Match': before.tag } : {};
      const reply = await server.admin.put<Instance>(at(instance), body, { headers });
      expect(reply.status, reply.text).to.equal(202);
      expect(reply.body.metadata).to.include({ description: 'meanwhile', healthStatus: 'degraded' });
      expect(reply.body.status.powerState).to.equal('Stopped');
    }
  });

  it('can still be PUT after the machine was made, and with the address and the task of then', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 100, times: 1 });
    const made = await server.admin.post<Instance>(
      '/api/v2/instances',
      server.instanceBody('from-the-start'),
    );
    const tag = made.headers.get('etag') ?? '';
    const now = await server.settled(made.body.metadata.id);
    expect(now.status).not.to.deep.equal(made.body.status);
    const body = withMember(made.body, '/metadata/description', 'known from the create');
    const reply = await server.admin.put<Instance>(at(now), body, { headers: { 'If-Match': tag } });
    expect(reply.status, reply.text).to.equal(202);
    const { generation = 0 } = reply.body.status;
    expect(generation).to.be.above(now.status.generation ?? Infinity);
    expect(reply.body.status).to.deep.equal({ ...now.status, generation, observedGeneration: generation });
    expect(reply.headers.get('etag')).not.to.equal(tag);
  });

  it('is judged by the present state when its tag says that the client knows it', async () => {
    const instance = await server.running('knows-better');
    server.cloud.interfere(instance.metadata.id, { powerState: 'Stopped' });
    await shows(instance, 'Stopped');
    server.cloud.interfere(instance.metadata.id, { powerState: 'Running' });
    const now = await shows(instance, 'Running');
    const body = withMember(now.body, '/status/powerState', 'Stopped');
    expect((await server.admin.put<Instance>(at(instance), body)).text, 'may be an old copy').to.equal(
      now.text,
    );
    const headers = { 'If-Match': now.tag };
    const reply = await server.admin.refused('unprocessable', 'PUT', at(instance), { body, headers });
    expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal(['/status/powerState']);
  });

  it('is no longer taken under its tag once a user has changed something: 412', async () => {
    const change: [string, (instance: Instance) => Promise<unknown>][] = [
      [
        'described',
        (instance) => server.admin.put(at(instance), withMember(instance, '/metadata/description', 'x')),
      ],
      ['tagged', (instance) => patch(instance, { metadata: { tags: [{ name: 'a', value: 'b' }] } })],
      [
        'scripted',
        (instance) => patch(instance, { spec: { userData: Buffer.from('#!').toString('base64') } }),
      ],
      [
        'expiring',
        (instance) => patch(instance, { spec: { expiresAt: new Date(Date.now() + 9e6).toISOString() } }),
      ],
      ['stopped', (instance) => server.admin.post(`${at(instance)}/stop`)],
    ];
    for (const [name, act] of change) {
      const instance = await server.running(`${name}-meanwhile`);
      const { tag } = await read(instance);
      await act(instance);
      for (const method of ['PUT', 'PATCH']) {
        await server.admin.refused('precondition_failed', method, at(instance), {
          body: instance,
          headers: { 'If-Match': tag },
        });
      }
      await server.admin.refused('precondition_failed', 'DELETE', at(instance), {
        headers: { 'If-Match': tag },
      });
    }
  });

  it('is meant when a PATCH names it: nobody is told that a stopped machine was started', async () => {
    const instance = await server.running('patched-to-run');
    const { tag } = await read(instance);
    server.cloud.interfere(instance.metadata.id, { powerState: 'Stopped' });
    await shows(instance, 'Stopped');
    const body = { status: { powerState: 'Running' } };
    const reply = await server.admin.refused('unprocessable', 'PATCH', at(instance), { body });
    expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal(['/status/powerState']);
    expect((await patch(instance, { status: { powerState: 'Stopped' } })).status).to.equal(202);
    expect((await patch(instance, instance, { 'If-Match': tag })).status, 'an old copy').to.equal(202);
  });

  it('keeps its tag for a verb and a delete too when only something was observed', async () => {
    const instance = await server.running('verbs-after');
    const { tag } = await read(instance);
    server.cloud.interfere(instance.metadata.id, { powerState: 'Stopped' });
    const stopped = await shows(instance, 'Stopped');
    expect(stopped.tag).not.to.equal(tag);
    const again = await server.admin.get(at(instance), { headers: { 'If-None-Match': tag } });
    expect(again.status, 'other bytes').to.equal(200);
    const headers = { 'If-Match': tag };
    expect((await server.admin.post(`${at(instance)}/start`, undefined, { headers })).status).to.equal(202);
    const settled = await server.settled(instance.metadata.id);
    expect(settled.status.powerState).to.equal('Running');
    // A user has started it since.
    await server.admin.refused('precondition_failed', 'DELETE', at(instance), {
      headers: { 'If-Match': '"0"' },
    });
    expect((await server.admin.delete(at(instance), { headers: { 'If-Match': '*' } })).status).to.equal(202);
  });

  it('is not taken under a tag that the instance never had', async () => {
    const instance = await server.running('never-had');
    const { tag } = await read(instance);
    for (const other of [
      '"999999"',
      tag.replace('"', '"0'),
      '"1.5"',
      '"-1"',
      '"1e0"',
      `"${'9'.repeat(30)}"`,
    ]) {
      const options = { body: instance, headers: { 'If-Match': other } };
      await server.admin.refused('precondition_failed', 'PUT', at(instance), options);
    }
  });
});
