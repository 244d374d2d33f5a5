import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { namePattern } from '../../src/model/common.js';
import type { Instance } from '../../src/model/instance.js';
import type { CallOptions } from '../support/conform.js';
import { startServer, type TestServer } from '../support/server.js';

const json = { 'Content-Type': 'application/json' };
const absent = '0193a5c0-0000-7000-8000-000000000001';

describe('bad input', () => {
  let server: TestServer;
  const path = '/api/v2/instances';

  const create = (options: CallOptions) => server.admin.call<{ code: string }>('POST', path, options);
  const stored = async () => (await server.admin.get<unknown[]>(`${path}?limit=1000`)).body.length;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  describe('in the members of the body', () => {
    const wrong = async (change: (wish: ReturnType<TestServer['instanceBody']>) => unknown) => {
      const before = await stored();
      const reply = await server.admin.refused('invalid_body', 'POST', path, {
        body: change(server.instanceBody('wrong')),
      });
      expect(await stored()).to.equal(before);
      return reply.body;
    };

    it('names an unknown member, where it is and the nearest known one', async () => {
      const cases: [(wish: ReturnType<TestServer['instanceBody']>) => unknown, string, string][] = [
        [(wish) => ({ ...wish, metdata: {} }), '/metdata', 'metadata'],
        [
          (wish) => ({ ...wish, metadata: { ...wish.metadata, descripton: '' } }),
          '/metadata/descripton',
          'description',
        ],
        [(wish) => ({ ...wish, spec: { ...wish.spec, flavourId: '' } }), '/spec/flavourId', 'flavorId'],
        [
          (wish) => ({ ...wish, spec: { ...wish.spec, networking: { publicIp: true } } }),
          '/spec/networking/publicIp',
          'publicIP',
        ],
        [
          (wish) => ({
            ...wish,
            metadata: { ...wish.metadata, tags: [{ name: 'a', value: 'b', vlaue: 'c' }] },
          }),
          '/metadata/tags/0/vlaue',
          'value',
        ],
      ];
      for (const [change, pointer, nearest] of cases) {
        const { errors, message } = await wrong(change);
        expect(errors?.map((error) => error.pointer)).to.include(pointer);
        expect(message).to.include(`Did you mean "${nearest}"?`);
      }
    });

    it('lists what is known where nothing is near', async () => {
      const { message } = await wrong((wish) => ({ ...wish, zzzzzzzzzzzzzzz: 1 }));
      expect(message).to.include('Expected one of metadata, spec');
    });

    it('escapes a hostile member name in the pointer (RFC 6901) and shortens it', async () => {
      const { errors } = await wrong((wish) => ({ ...wish, 'a/b~c': 1, ['x'.repeat(5000)]: 1 }));
      expect(errors?.[0]?.pointer).to.equal('/a~1b~0c');
      expect(errors?.[1]?.pointer?.length).to.be.below(200);
    });

    it('names every missing member', async () => {
      const { errors } = await wrong(() => ({ metadata: {}, spec: {} }));
      expect(errors?.map((error) => error.pointer)).to.deep.equal([
        '/metadata/name',
        '/spec/flavorId',
        '/spec/imageId',
      ]);
      expect((await wrong(() => ({}))).errors?.map((error) => error.pointer)).to.deep.equal([
        '/metadata',
        '/spec',
      ]);
    });

    it('refuses values of the wrong type', async () => {
      const values = [null, 1, true, [], {}];
      for (const value of values) {
        await wrong((wish) => ({ ...wish, metadata: { name: value } }));
        await wrong((wish) => ({ ...wish, spec: { ...wish.spec, flavorId: value } }));
      }
      for (const value of [null, 1, true, 'text', []]) await wrong((wish) => ({ ...wish, metadata: value }));
    });

    it('refuses members that would change the prototype of objects', async () => {
      for (const member of [
        '"__proto__":{"polluted":true}',
        '"constructor":{"prototype":{"polluted":true}}',
        '"\\u005f_proto__":{}',
      ]) {
        for (const text of [
          `{${member},"metadata":{"name":"a"},"spec":{}}`,
          `{"metadata":{"name":"a",${member}},"spec":{}}`,
        ]) {
          expect((await create({ raw: text, headers: json })).status, text).to.equal(400);
        }
      }
      expect(({} as Record<string, unknown>)['polluted']).to.be.undefined;
    });

    it('refuses ids that are not UUIDs', async () => {
      for (const id of [
        '',
        'hello',
        '123',
        `${absent}0`,
        absent.replaceAll('-', ''),
        `{${absent}}`,
        ` ${absent}`,
      ]) {
        for (const member of [
          'flavorId',
          'imageId',
          'networkId',
          'regionId',
          'projectId',
          'organizationId',
        ]) {
          const { errors } = await wrong((wish) => ({ ...wish, spec: { ...wish.spec, [member]: id } }));
          expect(errors?.[0]?.pointer, `${member} ${id}`).to.equal(`/spec/${member}`);
        }
      }
    });

    it('limits the number and the length of tags and the length of a description', async () => {
      const tags = (count: number) =>
        Array.from({ length: count }, (_, index) => ({ name: `t${index}`, value: '' }));
      const metadata = (more: object) => (wish: ReturnType<TestServer['instanceBody']>) => ({
        ...wish,
        metadata: { ...wish.metadata, ...more },
      });
      await wrong(metadata({ tags: tags(65) }));
      await wrong(metadata({ tags: [{ name: '', value: '' }] }));
      await wrong(metadata({ tags: [{ name: 'n'.repeat(129), value: '' }] }));
      await wrong(metadata({ tags: [{ name: 'n', value: 'v'.repeat(257) }] }));
      await wrong(metadata({ description: 'd'.repeat(1025) }));
      await server.createInstance('widest', { metadata: { tags: tags(64), description: 'd'.repeat(1024) } });
    });

    it('refuses a tag name that is given twice, and says which', async () => {
      const tags = [
        { name: 'a', value: '1' },
        { name: 'b', value: '2' },
        { name: 'a', value: '3' },
      ];
      const { errors } = await wrong((wish) => ({ ...wish, metadata: { ...wish.metadata, tags } }));
      expect(errors?.map((error) => error.pointer)).to.deep.equal(['/metadata/tags/2/name']);
    });

    it('refuses texts that UTF-8 cannot hold, or keeps them and can still run and delete the instance', async () => {
      const tags = [
        { name: '\ud800', value: 'v' },
        { name: '\ud801', value: 'v' },
      ];
      for (const [index, metadata] of [
        { tags },
        { tags: tags.slice(1) },
        { description: 'half \udc00' },
      ].entries()) {
        const reply = await server.admin.post<Instance>(
          path,
          server.instanceBody(`surrogate-${index}`, { metadata }),
        );
        expect(reply.status, reply.text).to.be.oneOf([201, 400]);
        if (reply.status === 400) continue;
        expect(reply.body.metadata).to.deep.include(metadata);
        await server.settled(reply.body.metadata.id, (one) => one.status.powerState === 'Running');
        await server.deleteInstance(reply.body.metadata.id);
      }
    });
  });

  describe('in a name', () => {
    const label = new RegExp(namePattern);

    it('refuses whatever is no DNS label, and takes whatever is one', async () => {
      const near = fc.oneof(
        fc.string({ maxLength: 70 }),
        fc.string({ unit: 'binary', maxLength: 10 }),
        fc.stringMatching(/^[-a-z0-9]{1,66}$/),
        fc.stringMatching(/^[a-z0-9]{1,5}[-_.A-Z][a-z0-9]{0,5}$/),
        fc.constantFrom(
          '',
          '-',
          'a-',
          '-a',
          'a\n',
          'a'.repeat(63),
          'a'.repeat(64),
          'ä',
          'a b',
          'a\u0000',
          '../x',
          '$(id)',
          ';ls',
        ),
      );
      const taken = new Set<string>();
      await fc.assert(
        fc.asyncProperty(near, async (name) => {
          const reply = await create({ body: server.instanceBody(name) });
          if (!label.test(name)) {
            expect(reply.status, JSON.stringify(name)).to.equal(400);
            expect(reply.body.code).to.equal('invalid_body');
          } else expect(reply.status, JSON.stringify(name)).to.equal(taken.has(name) ? 409 : 201);
          taken.add(name);
        }),
        { numRuns: 150 },
      );
    });

    it('says what a name may be', async () => {
      const reply = await server.admin.refused('invalid_body', 'POST', path, {
        body: server.instanceBody('Not_A_Label'),
      });
      expect(reply.body.message).to.include('DNS label');
      expect(reply.body.errors?.[0]?.pointer).to.equal('/metadata/name');
    });
  });

  describe('in references', () => {
    it('answers 400 for an absent flavor or image, naming it', async () => {
      for (const member of ['flavorId', 'imageId']) {
        const body = server.instanceBody('absent', { spec: { [member]: absent } });
        const reply = await server.admin.refused('invalid_reference', 'POST', path, { body });
        expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal([`/spec/${member}`]);
      }
    });

    it('answers 400 for an image that does not fit the flavor, and says why', async () => {
      const body = server.instanceBody('misfit', { spec: { imageId: server.catalog.images['sim-large'] } });
      const reply = await server.admin.refused('invalid_reference', 'POST', path, { body });
      expect(reply.body.message).to.include('2048 MiB');
    });

    it('answers 404 for an absent project, organization, network or region, and says which it is', async () => {
      for (const member of ['projectId', 'organizationId', 'networkId', 'regionId']) {
        const spec = {
          regionId: member === 'networkId' ? undefined : server.catalog.regionId,
          [member]: absent,
        };
        const body = server.instanceBody('absent', { spec });
        const reply = await server.admin.refused('not_found', 'POST', path, { body });
        expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal([`/spec/${member}`]);
      }
    });

    it('answers 400 when network and region contradict each other', async () => {
      const body = server.instanceBody('contradiction', {
        spec: { networkId: server.catalog.networkId, regionId: absent },
      });
      await server.admin.refused('invalid_body', 'POST', path, { body });
    });
  });

  describe('in userData', () => {
    const encode = (text: string | Buffer) => Buffer.from(text).toString('base64');

    it('refuses what is not base64', async () => {
      for (const userData of ['#cloud-config', 'abc', 'a===', 'YQ=', '====', 'YQ==\n', 'Y Q=', 'YW-_']) {
        const reply = await create({ body: server.instanceBody('not-base64', { spec: { userData } }) });
        expect(reply.status, userData).to.be.oneOf([400, 422]);
        expect((reply.body as unknown as { errors: { pointer: string }[] }).errors[0]?.pointer).to.equal(
          '/spec/userData',
        );
      }
    });

    it('refuses what cloud-init would not take', async () => {
      for (const text of ['hello', ' #cloud-config', '\n#!/bin/sh', '#cloudconfig', '{}']) {
        const body = server.instanceBody('no-cloud', { spec: { userData: encode(text) } });
        await server.admin.refused('unprocessable', 'POST', path, { body });
      }
    });

    it('refuses what cloud-init would silently ignore, at a create and at a change, and says where', async () => {
      const head = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n';
      const ignored: [string | Buffer, RegExp][] = [
        [`${head}--B\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n`, /closing line/],
        [`${head}--B\nContent-Type text/x-shellscript\n\n#!/bin/sh\n--B--`, /line 5/],
        [`${head}#!/bin/sh\n`, /no parts/],
        ['#cloud-config\nusers: [\n', /line/],
        [gzipSync(head), /no parts/],
        [gzipSync(head).subarray(0, 30), /gzip/],
      ];
      const instance = await server.running('ignored');
      const address = `/api/v2/instances/${instance.metadata.id}`;
      const { flavorId, imageId } = instance.spec;
      for (const [text, reason] of ignored) {
        const userData = encode(text);
        const replies = [
          await server.admin.refused('unprocessable', 'POST', path, {
            body: server.instanceBody('ignoring', { spec: { userData } }),
          }),
          await server.admin.refused('unprocessable', 'PUT', address, {
            body: { metadata: { name: 'ignored' }, spec: { flavorId, imageId, userData } },
          }),
        ];
        for (const { body } of replies) {
          expect(body.errors?.map(({ pointer }) => pointer)).to.deep.equal(['/spec/userData']);
          expect(body.message).to.match(reason);
        }
      }
    });

    it('takes 64 KiB, and not one byte more', async () => {
      const text = '#cloud-config\n'.padEnd(65536, '#');
      await server.createInstance('full', { spec: { userData: encode(text) } });
      const reply = await create({
        body: server.instanceBody('overfull', { spec: { userData: encode(`${text}#`) } }),
      });
      expect(reply.status).to.be.oneOf([400, 422]);
    });

    it('takes each kind of cloud-init input', async () => {
      const kinds: (string | Buffer)[] = [
        '',
        '#cloud-config\n{}',
        '#!/bin/sh\n',
        '#include\nhttp://x/',
        '## template: jinja\n#cloud-config\n',
        gzipSync('#cloud-config\n'),
      ];
      for (const [index, kind] of kinds.entries()) {
        await server.createInstance(`cloud-${index}`, { spec: { userData: encode(kind) } });
      }
    });
  });
});
