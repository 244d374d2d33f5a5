import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { startServer, type TestServer } from '../support/server.js';

const script = Buffer.from('#!/bin/sh\n').toString('base64');

describe('PATCH /api/v2/instances/{instanceID}', () => {
  let server: TestServer;

  const at = (instance: Instance) => `/api/v2/instances/${instance.metadata.id}`;
  const options = (body: unknown, type = 'application/merge-patch+json') => ({
    raw: JSON.stringify(body),
    headers: { 'Content-Type': type },
  });
  const patch = (instance: Instance, body: unknown, query = '') =>
    server.admin.call<Instance>('PATCH', at(instance) + query, options(body));
  const stored = async (instance: Instance) =>
    (await server.app.connector.instances.load(instance.metadata.id))?.value;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('changes what is named and leaves the rest as it is; the answer has the tag of a GET', async () => {
    const tags = [{ name: 'a', value: '1' }];
    const instance = await server.running('part', {
      metadata: { description: 'old', tags },
      spec: { userData: script },
    });
    const reply = await patch(instance, { metadata: { description: 'new' } });
    expect(reply.status, reply.text).to.equal(202);
    expect(reply.body.metadata).to.deep.include({ description: 'new', tags, modifiedBy: 'admin' });
    expect(reply.body.spec).to.deep.equal(instance.spec);
    expect((await stored(instance))?.userData).to.equal(script);
    const now = await server.admin.get(at(instance));
    expect([reply.text, reply.headers.get('etag')]).to.deep.equal([now.text, now.headers.get('etag')]);
  });

  it('takes away what is null, user data too, and replaces an array whole', async () => {
    const tags = [
      { name: 'a', value: '1' },
      { name: 'b', value: '2' },
    ];
    const expiresAt = new Date(Date.now() + 9e6).toISOString();
    const instance = await server.running('taken', {
      metadata: { description: 'old', tags },
      spec: { userData: script, expiresAt },
    });
    const one = await patch(instance, { metadata: { tags: [{ name: 'c', value: '3' }] } });
    expect(one.body.metadata.tags).to.deep.equal([{ name: 'c', value: '3' }]);
    const none = await patch(instance, {
      metadata: { description: null, tags: null },
      spec: { userData: null, expiresAt: null, networking: null },
    });
    expect(none.status, none.text).to.equal(202);
    expect(none.body.metadata).not.to.have.any.keys('description', 'tags');
    expect(none.body.spec).not.to.have.any.keys('expiresAt');
    expect(await stored(instance)).not.to.have.any.keys('userData');
  });

  it('changes nothing, not even the tag, when it is empty or says what is so already', async () => {
    const instance = await server.running('nothing', { metadata: { description: 'so' } });
    const before = await server.admin.get<Instance>(at(instance));
    const { metadata, spec, status } = before.body;
    for (const body of [
      {},
      { metadata: {} },
      { metadata: {}, spec: {}, status: {} },
      { metadata: { description: 'so', tags: null } },
      { metadata, spec, status },
      { status: { publicIP: null } },
    ]) {
      const reply = await patch(instance, body);
      expect(reply.status, reply.text).to.equal(202);
      expect([reply.text, reply.headers.get('etag')]).to.deep.equal([
        before.text,
        before.headers.get('etag'),
      ]);
    }
  });

  it('names what it cannot take, where it stands in the patch', async () => {
    const instance = await server.running('faulty');
    const cases: [object, 'invalid_body' | 'unprocessable', string][] = [
      [{ metadata: { name: null } }, 'invalid_body', '/metadata/name'],
      [{ spec: null }, 'invalid_body', '/spec'],
      [{ spec: { flavorId: null } }, 'invalid_body', '/spec/flavorId'],
      [{ spec: { flavorId: 'small' } }, 'invalid_body', '/spec/flavorId'],
      [{ metadata: { description: 5 } }, 'invalid_body', '/metadata/description'],
      [{ metadata: { tags: [{ name: 'a' }] } }, 'invalid_body', '/metadata/tags/0/value'],
      [{ metadata: { tags: {} } }, 'invalid_body', '/metadata/tags'],
      [{ spec: { expireAt: null } }, 'invalid_body', '/spec/expireAt'],
      [{ spec: { userdata: null } }, 'invalid_body', '/spec/userdata'],
      [{ nonsense: 1 }, 'invalid_body', '/nonsense'],
      [{ metadata: { name: 'renamed' } }, 'unprocessable', '/metadata/name'],
      [{ metadata: { id: null } }, 'unprocessable', '/metadata/id'],
      [{ status: { powerState: 'Stopped' } }, 'unprocessable', '/status/powerState'],
      [{ status: { powerState: null } }, 'unprocessable', '/status/powerState'],
      [{ spec: { networking: { publicIP: true } } }, 'unprocessable', '/spec/networking/publicIP'],
      [{ spec: { userData: '!' } }, 'invalid_body', '/spec/userData'],
    ];
    for (const [body, code, pointer] of cases) {
      const reply = await server.admin.refused(code, 'PATCH', at(instance), options(body));
      const pointers = new Set(reply.body.errors?.map((error) => error.pointer));
      expect([...pointers], JSON.stringify(body)).to.deep.equal([pointer]);
    }
    for (const raw of ['{"__proto__":{"a":1}}', '{"metadata":{"__proto__":{"a":1}}}', '{"constructor":{}}']) {
      await server.admin.refused('invalid_body', 'PATCH', at(instance), { ...options({}), raw });
    }
    const twice = {
      metadata: {
        tags: [
          { name: 'a', value: '1' },
          { name: 'a', value: '2' },
        ],
      },
    };
    await server.admin.refused('invalid_body', 'PATCH', at(instance), options(twice));
    expect((await server.admin.get<Instance>(at(instance))).body).to.deep.equal(instance);
  });

  it('needs allowReplace for another image or a smaller disk, as PUT does', async () => {
    const instance = await server.running('shrunk', { spec: { flavorId: server.catalog.flavors['small'] } });
    const flavorId = server.catalog.flavors['tiny'];
    const body = { spec: { flavorId } };
    const reply = await server.admin.refused('replace_required', 'PATCH', at(instance), options(body));
    expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal(['/spec/flavorId']);
    const done = await patch(instance, body, '?allowReplace=true');
    expect(done.status, done.text).to.equal(202);
    await server.ended(done.headers.get('location'));
    const after = await server.settled(instance.metadata.id);
    expect(after.spec).to.deep.equal({ ...instance.spec, flavorId });
  });

  it('minds If-Match: of two who read the same tag one wins', async () => {
    const instance = await server.running('raced');
    const tag = (await server.admin.get(at(instance))).headers.get('etag') ?? '';
    const replies = await Promise.all(
      ['one', 'two'].map((description) =>
        server.admin.call('PATCH', at(instance), {
          body: { metadata: { description } },
          headers: { 'If-Match': tag },
        }),
      ),
    );
    expect(replies.map((reply) => reply.status).sort()).to.deep.equal([202, 412]);
  });

  it('loses neither of two patches at once that name different members', async () => {
    const instance = await server.running('both');
    const tags = [{ name: 'a', value: 'b' }];
    await Promise.all([
      patch(instance, { metadata: { description: 'one' } }),
      patch(instance, { metadata: { tags } }),
      patch(instance, { spec: { userData: script } }),
    ]);
    const { metadata } = (await server.admin.get<Instance>(at(instance))).body;
    expect(metadata).to.deep.include({ description: 'one', tags });
    expect((await stored(instance))?.userData).to.equal(script);
  });

  it('takes a merge patch and plain JSON, and tells of both with 415 and to OPTIONS, as the tasks do', async () => {
    const instance = await server.running('typed');
    const types =
      'application/merge-patch+json, application/json, application/xml, application/cbor, application/x-www-form-urlencoded';
    for (const type of [
      'application/merge-patch+json',
      'application/json',
      'application/merge-patch+json; charset=utf-8',
    ])
      expect((await server.admin.call('PATCH', at(instance), options({}, type))).status, type).to.equal(202);
    const { taskId } = (await server.createInstance('typed-task')).status;
    for (const path of [at(instance), `/api/v2/tasks/${taskId ?? ''}`]) {
      for (const type of ['application/json-patch+json', 'text/plain', 'application/merge-patch'])
        for (const header of ['accept-patch', 'accept']) {
          const refused = await server.admin.refused(
            'unsupported_media_type',
            'PATCH',
            path,
            options({}, type),
          );
          expect(refused.headers.get(header), `${path} ${type}`).to.equal(types);
        }
      const told = await server.admin.call('OPTIONS', path);
      expect(told.headers.get('accept-patch')).to.equal(types);
    }
    expect((await server.admin.call('OPTIONS', '/api/v2/instances')).headers.has('accept-patch')).to.be.false;
    await server.admin.refused('unsupported_media_type', 'PUT', at(instance), options(instance));
  });

  it('is 404 to strangers and for an absent instance, 409 while the instance is being deleted', async () => {
    const instance = await server.running('leaving-patched');
    const absent = '/api/v2/instances/0193a5c0-0000-7000-8000-000000000001';
    await server.admin.refused('not_found', 'PATCH', absent, options({}));
    server.cloud.program({ verb: 'deleteServer', serverId: instance.metadata.id, delay: 400, times: 1 });
    await server.admin.delete(at(instance));
    await server.admin.refused('being_deleted', 'PATCH', at(instance), options({}));
  });
});
