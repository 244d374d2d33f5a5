/** Entity tags and the conditions that clients set on them, over HTTP. */
import { expect } from 'chai';
import type { Instance } from '../../../src/model/instance.js';
import type { Task } from '../../../src/model/task.js';
import { absentId, addOutsider } from '../../support/fuzz-seed.js';
import { wire } from '../../support/fuzz-http.js';
import { Api } from '../../support/conform.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

const strong = /^"[\x21\x23-\x7e]+"$/;

describe('conditional requests', () => {
  let server: TestServer;
  let instance: Instance;
  const at = (id: string, verb = '') => `/api/v2/instances/${id}${verb}`;
  const tagOf = async (path: string): Promise<string> =>
    (await server.admin.get(path)).headers.get('etag') ?? '';

  before(async () => {
    server = await startServer();
    instance = await server.running('conditional');
  });
  after(() => server.stop());

  describe('of reads', () => {
    /** A tag that the resource does not have. */
    const other = '"other"';
    const same = (tag: string) => [tag, `W/${tag}`, `${other}, ${tag}`, `W/${other},W/${tag} `, '*', ` * `];

    it('have a strong tag to go by on an instance, on a task and on what was just created', async () => {
      const made = await server.admin.post<Instance>('/api/v2/instances', server.instanceBody('tagged'));
      expect(made.headers.get('etag')).to.match(strong);
      for (const path of [at(made.body.metadata.id), `/api/v2/tasks/${made.body.status.taskId ?? ''}`]) {
        expect((await server.admin.get(path)).headers.get('etag'), path).to.match(strong);
      }
    });

    it('can trust that one tag always names the same bytes, and other bytes another tag', async () => {
      server.cloud.program({ verb: 'ensureServer', delay: 60, times: 1 });
      const made = await server.admin.post<Instance>('/api/v2/instances', server.instanceBody('told-apart'));
      const seen = new Map([[made.headers.get('etag') ?? '', made.text]]);
      for (let ended = false; !ended;) {
        const reply = await server.admin.get<Instance>(at(made.body.metadata.id));
        const tag = reply.headers.get('etag') ?? '';
        expect(reply.text).to.equal(seen.get(tag) ?? reply.text);
        seen.set(tag, reply.text);
        ended = reply.body.status.taskId === undefined;
      }
      expect(seen.size).to.be.above(1);
      expect(new Set(seen.values()).size).to.equal(seen.size);
    });

    it('get 304 without a body, by GET and by HEAD, for the tag, its weak form, a list with it and *', async () => {
      const { taskId } = (await server.createInstance('read-again')).status;
      const ended = await server.ended(taskId);
      for (const path of [at(instance.metadata.id), `/api/v2/tasks/${ended.id}`]) {
        const tag = await tagOf(path);
        for (const condition of same(tag)) {
          for (const method of ['GET', 'HEAD']) {
            const reply = await server.admin.call(method, path, { headers: { 'If-None-Match': condition } });
            const where = `${method} ${path} ${condition}`;
            expect(reply.status, where).to.equal(304);
            expect(reply.text, where).to.equal('');
            expect(reply.headers.get('etag'), where).to.equal(tag);
            expect(reply.headers.has('content-type'), where).to.be.false;
          }
        }
      }
    });

    it('get in a 304 what caches need: the Cache-Control and the Vary that a 200 has (RFC 9110, 15.4.5)', async () => {
      const headers = { Authorization: `Bearer ${adminKey}`, 'Accept-Encoding': 'gzip' };
      const full = await wire(server.url + at(instance.metadata.id), { headers });
      const condition = { ...headers, 'If-None-Match': String(full.headers.etag) };
      const reply = await wire(server.url + at(instance.metadata.id), { headers: condition });
      expect(reply.status).to.equal(304);
      expect(full.headers.vary).to.include('Accept-Encoding');
      for (const name of ['cache-control', 'vary', 'etag'] as const) {
        expect(reply.headers[name], name).to.equal(full.headers[name]);
      }
    });

    it('get the whole representation for any other tag', async () => {
      for (const condition of [other, `W/${other}`, `${other}, "more"`, '""']) {
        const reply = await server.admin.get<Instance>(at(instance.metadata.id), {
          headers: { 'If-None-Match': condition },
        });
        expect(reply.status, condition).to.equal(200);
        expect(reply.body.metadata.id).to.equal(instance.metadata.id);
      }
    });

    it('get 412 when they demand a tag that is not the current one, compared strongly', async () => {
      const path = at(instance.metadata.id);
      const tag = await tagOf(path);
      for (const condition of [other, `W/${tag}`]) {
        await server.admin.refused('precondition_failed', 'GET', path, {
          headers: { 'If-Match': condition },
        });
      }
      for (const condition of [tag, '*', `${other}, ${tag}`]) {
        expect((await server.admin.get(path, { headers: { 'If-Match': condition } })).status).to.equal(200);
      }
    });

    it('have no effect on lists, which have no tag', async () => {
      for (const path of ['/api/v2/instances', '/api/v2/tasks']) {
        const reply = await server.admin.get(path, { headers: { 'If-None-Match': '*' } });
        expect(reply.status, path).to.equal(200);
        expect(reply.headers.has('etag'), path).to.be.false;
      }
    });
  });

  describe('of changes', () => {
    const update = (of: Instance, description: string) => ({
      metadata: { name: of.metadata.name, description },
      spec: of.spec,
    });

    it('let a PUT pass with the current tag, a list that has it, or *', async () => {
      const path = at(instance.metadata.id);
      for (const [index, condition] of ['TAG', '"x", TAG', '*'].entries()) {
        const headers = { 'If-Match': condition.replace('TAG', await tagOf(path)) };
        const reply = await server.admin.put<Instance>(path, update(instance, `pass ${index}`), { headers });
        expect(reply.status, condition).to.equal(202);
        expect(reply.body.metadata.description).to.equal(`pass ${index}`);
      }
    });

    it('stop a PUT with 412 for another tag or a weak one, and nothing is changed', async () => {
      const path = at(instance.metadata.id);
      const before = await server.admin.get(path);
      const tag = before.headers.get('etag') ?? '';
      for (const condition of ['"0"', `W/${tag}`, `"x", W/${tag}`, tag.replace(/"$/, '0"')]) {
        const options = { body: update(instance, 'refused'), headers: { 'If-Match': condition } };
        const reply = await server.admin.refused('precondition_failed', 'PUT', path, options);
        expect(reply.body.message).to.include(tag);
        expect(reply.body.retryable).to.be.false;
      }
      const after = await server.admin.get(path);
      expect([after.text, after.headers.get('etag')]).to.deep.equal([before.text, tag]);
    });

    it('stop a PUT that must not meet the state it meets (If-None-Match)', async () => {
      const path = at(instance.metadata.id);
      for (const condition of ['*', `W/${await tagOf(path)}`]) {
        const options = { body: update(instance, 'unwanted'), headers: { 'If-None-Match': condition } };
        await server.admin.refused('precondition_failed', 'PUT', path, options);
      }
      const passes = { headers: { 'If-None-Match': '"other"' } };
      expect((await server.admin.put(path, update(instance, 'wanted'), passes)).status).to.equal(202);
    });

    it('stop each power verb, which then has no task and no effect, or let it pass', async () => {
      const { metadata } = await server.running('verbs');
      const tasks = async () =>
        (await server.admin.get<Task[]>(`/api/v2/tasks?subjectID=${metadata.id}`)).body.length;
      for (const verb of ['/reboot', '/stop', '/start']) {
        const path = at(metadata.id, verb);
        const spec = async () => (await server.admin.get<Instance>(at(metadata.id))).body.spec;
        const wished = await spec();
        const known = await tasks();
        for (const condition of ['"0"', `W/${await tagOf(at(metadata.id))}`]) {
          await server.admin.refused('precondition_failed', 'POST', path, {
            headers: { 'If-Match': condition },
          });
        }
        expect(await tasks(), verb).to.equal(known);
        // Not the tag: what is observed of the machine changes it at any time.
        expect(await spec(), verb).to.deep.equal(wished);
        const tag = await tagOf(at(metadata.id));
        const passed = await server.admin.post(path, undefined, { headers: { 'If-Match': tag } });
        expect(passed.status, verb).to.equal(202);
        await server.ended(passed.headers.get('location'));
        await server.settled(metadata.id);
      }
    });

    it('stop a DELETE, and the instance lives; or let it pass', async () => {
      const { metadata } = await server.running('deleted-if');
      const path = at(metadata.id);
      const tag = await tagOf(path);
      for (const condition of ['"0"', `W/${tag}`]) {
        await server.admin.refused('precondition_failed', 'DELETE', path, {
          headers: { 'If-Match': condition },
        });
      }
      const { body } = await server.admin.get<Instance>(path);
      expect([body.status.powerState, body.metadata.deletionTime]).to.deep.equal(['Running', undefined]);
      const headers = { 'If-Match': tag, Prefer: 'wait=5' };
      expect((await server.admin.delete(path, { headers })).status).to.equal(200);
      expect((await server.admin.get(path)).status).to.equal(404);
    });

    it('let exactly one of two writers pass who read the same tag, whichever it is', async () => {
      const path = at(instance.metadata.id);
      for (let round = 0; round < 20; round += 1) {
        const headers = { 'If-Match': await tagOf(path) };
        const writers = [`first ${round}`, `second ${round}`];
        const replies = await Promise.all(
          writers.map((word) => server.admin.put<Instance>(path, update(instance, word), { headers })),
        );
        expect(replies.map((reply) => reply.status).sort()).to.deep.equal([202, 412]);
        const winner = writers[replies.findIndex((reply) => reply.status === 202)];
        expect((await server.admin.get<Instance>(path)).body.metadata.description).to.equal(winner);
      }
    });

    it('let exactly one of a stop and a PUT pass that were decided on the same tag', async () => {
      const { metadata, spec } = await server.running('stop-or-put');
      const headers = { 'If-Match': await tagOf(at(metadata.id)) };
      const body = { metadata: { name: metadata.name, description: 'put' }, spec };
      const [stop, put] = await Promise.all([
        server.admin.post(at(metadata.id, '/stop'), undefined, { headers }),
        server.admin.put(at(metadata.id), body, { headers }),
      ]);
      expect([stop.status, put.status].sort()).to.deep.equal([202, 412]);
      const after = await server.settled(metadata.id);
      expect(after.metadata.description).to.equal(put.status === 202 ? 'put' : undefined);
      expect(after.status.powerState).to.equal(stop.status === 202 ? 'Stopped' : 'Running');
    });
  });

  describe('that are malformed', () => {
    const malformed = [
      '',
      'abc',
      '"abc',
      'abc"',
      'W/abc',
      'w/"abc"',
      '"a", b',
      '*, "a"',
      "'a'",
      '"a b"',
      '3',
    ];

    it('are 400 wherever they would count, and nothing is changed', async () => {
      const path = at(instance.metadata.id);
      const before = await tagOf(path);
      const body = { metadata: { name: instance.metadata.name }, spec: instance.spec };
      for (const condition of malformed) {
        const headers = { 'If-Match': condition };
        await server.admin.refused('invalid_parameter', 'PUT', path, { body, headers });
        await server.admin.refused('invalid_parameter', 'DELETE', path, { headers });
        await server.admin.refused('invalid_parameter', 'POST', `${path}/stop`, { headers });
        await server.admin.refused('invalid_parameter', 'GET', path, { headers });
        const read = { headers: { 'If-None-Match': condition } };
        await server.admin.refused('invalid_parameter', 'GET', path, read);
      }
      expect(await tagOf(path)).to.equal(before);
    });
  });

  describe('are checked last:', () => {
    const headers = { 'If-Match': '"0"' };

    it('an absent or hidden resource stays 404, and a stranger 401', async () => {
      const outsider = await addOutsider(server);
      for (const [api, id] of [
        [server.admin, absentId],
        [outsider.api, instance.metadata.id],
      ] as const) {
        await api.refused('not_found', 'GET', at(id), { headers });
        await api.refused('not_found', 'DELETE', at(id), { headers });
        await api.refused('not_found', 'POST', at(id, '/stop'), { headers });
      }
      const nobody = new Api(server.url);
      await nobody.refused('unauthorized', 'DELETE', at(instance.metadata.id), { headers });
    });

    it('a wrong path, query or body stays 400', async () => {
      const path = at(instance.metadata.id);
      await server.admin.refused('invalid_parameter', 'DELETE', at('nonsense'), { headers });
      await server.admin.refused('invalid_parameter', 'DELETE', `${path}?force=true`, { headers });
      await server.admin.refused('invalid_body', 'PUT', path, { body: {}, headers });
      await server.admin.refused('malformed_json', 'PUT', path, {
        raw: '{',
        headers: { ...headers, 'Content-Type': 'application/json' },
      });
    });

    it('an instance that is being deleted stays 409', async () => {
      const { metadata, spec } = await server.running('going');
      server.cloud.program({ verb: 'deleteServer', serverId: metadata.id, delay: 400, times: 1 });
      await server.admin.delete(at(metadata.id));
      const body = { metadata: { name: metadata.name }, spec };
      await server.admin.refused('being_deleted', 'PUT', at(metadata.id), { body, headers });
      await server.admin.refused('being_deleted', 'POST', at(metadata.id, '/stop'), { headers });
    });
  });
});
