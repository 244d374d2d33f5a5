import { expect } from 'chai';
import { encode } from 'cbor2';
import type { Instance } from '../../src/model/instance.js';
import { xmlOf } from '../../src/route/pipeline/xml-writer.js';
import { startServer, type TestServer } from '../support/server.js';
import { xmlElement, xmlValue } from '../support/xml.js';

const path = '/api/v2/instances';
const xml = { 'Content-Type': 'application/xml' };
const cbor = { 'Content-Type': 'application/cbor' };
const form = { 'Content-Type': 'application/x-www-form-urlencoded' };

describe('A request body', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  const create = (raw: string | Uint8Array, headers: Record<string, string>) =>
    server.admin.call<Instance>('POST', path, { raw, headers });

  const body = (name: string) =>
    server.instanceBody(name, {
      metadata: { description: 'a <b> & "c" é', tags: [{ name: 'env', value: 'a b' }] },
      spec: { networking: { publicIP: false } },
    });

  /** The same in a page's form. */
  function fieldsOf(value: unknown, name = ''): [string, string][] {
    if (typeof value !== 'object' || value === null) return [[name, String(value)]];
    return Object.entries(value).flatMap(([key, member]) =>
      fieldsOf(member, name === '' ? key : `${name}[${key}]`),
    );
  }

  it('means the same in XML, CBOR and as a form as in JSON', async () => {
    const { body: expected, status, text } = await server.admin.post<Instance>(path, body('in-json'));
    expect(status, text).to.equal(201);
    const sent = [
      [xmlOf(body('in-xml'), { root: 'instance' }), xml],
      [xmlOf(body('in-untyped-xml'), { root: 'instance', typed: false }), { 'Content-Type': 'text/xml' }],
      [encode(body('in-cbor')), cbor],
      [new URLSearchParams(fieldsOf(body('in-a-form'))).toString(), form],
    ] as const;
    for (const [raw, headers] of sent) {
      const reply = await create(raw, headers);
      expect(reply.status, `${JSON.stringify(headers)}: ${reply.text}`).to.equal(201);
      expect(reply.body.spec).to.deep.equal(expected.spec);
      const { description, tags } = reply.body.metadata;
      expect({ description, tags }).to.deep.equal({
        description: expected.metadata.description,
        tags: expected.metadata.tags,
      });
    }
  });

  it('may be what a GET has answered, also for a merge patch', async () => {
    const instance = await server.running('sent-back');
    const at = `${path}/${instance.metadata.id}`;
    const { text } = await server.admin.get(at, { headers: { Accept: 'application/xml' } });
    const put = await server.admin.call('PUT', at, { raw: text, headers: xml });
    expect(put.status, put.text).to.be.oneOf([200, 202]);
    const raw = '<patch><metadata><description>patched</description><tags type="null"/></metadata></patch>';
    expect((await server.admin.call('PATCH', at, { raw, headers: xml })).status).to.be.oneOf([200, 202]);
    const { body: now } = await server.admin.get<Instance>(at);
    expect(now.metadata.description).to.equal('patched');
  });

  it('keeps every value and name in XML, whatever they contain', () => {
    const value = {
      'a b': '<x>',
      member: 'm',
      xmlThing: '',
      '1': [1, -2.5e300, true, null, [], {}, [[]], ''],
      __proto__x: { constructor: 'c' },
      'tab\t"&<\u0000': 'bell \u0007, \r\n, \ud800, \ufffe',
      é: ' spaces ',
    };
    expect(xmlValue(xmlElement(xmlOf(value, { root: 'resource' })))).to.deep.equal(value);
  });

  it('is refused with the place of a wrong member, as in JSON', async () => {
    const raw = xmlOf(server.instanceBody('wrong', { spec: { colour: 'red' } }), { root: 'x' });
    const refused = await server.admin.refused('invalid_body', 'POST', path, { raw, headers: xml });
    expect(refused.body.errors?.[0]?.pointer).to.equal('/spec/colour');
    await server.admin.refused('invalid_body', 'POST', path, { raw: 'metadata[name]=', headers: form });
  });

  const levels = 200_000;
  const hostile: [string, string | Uint8Array, Record<string, string>][] = [
    ['text that is no XML', '{"metadata":{}}', xml],
    ['mismatched tags', '<a><b></a></b>', xml],
    ['two roots', '<a/><b/>', xml],
    ['an unfinished document', '<a><b>', xml],
    ['a document type', '<!DOCTYPE a><a/>', xml],
    [
      'an entity bomb',
      `<!DOCTYPE a [<!ENTITY a "x"><!ENTITY b "${'&a;'.repeat(1000)}"><!ENTITY c "${'&b;'.repeat(1000)}">]><a>&c;</a>`,
      xml,
    ],
    ['a file of the server', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', xml],
    ['an unknown entity', '<a>&x;</a>', xml],
    ['200,000 levels', '<a>'.repeat(levels), xml],
    ['200,000 elements', `<a>${'<b/>'.repeat(levels)}</a>`, xml],
    ['80,000 attributes', `<a ${Array.from({ length: 80_000 }, (_, n) => `a${n}="1"`).join(' ')}/>`, xml],
    ['an element twice', '<a><metadata><name>a</name><name>b</name></metadata></a>', xml],
    ['text between elements', '<a><metadata>x<name>a</name></metadata></a>', xml],
    ['a control character', '<a>\u0001</a>', xml],
    ['bytes that are no UTF-8', Buffer.from('3c613eff3c2f613e', 'hex'), xml],
    ['a wrong type', '<a><metadata type="number">x</metadata></a>', xml],
    ['nothing in CBOR', Buffer.from('ff', 'hex'), cbor],
    ['four gigabytes of list', Buffer.from('9affffffff', 'hex'), cbor],
    ['four gigabytes of text', Buffer.from('7affffffff', 'hex'), cbor],
    ['more bytes than there are numbers', Buffer.from('5bffffffffffffffff', 'hex'), cbor],
    ['200,000 lists in lists', Buffer.alloc(levels, 0x81), cbor],
    ['200,000 tags', Buffer.alloc(levels, 0xc6), cbor],
    ['200,000 endless lists', Buffer.alloc(levels, 0x9f), cbor],
    ['a million values', Buffer.concat([Buffer.from('9a000f4240', 'hex'), Buffer.alloc(1_000_000)]), cbor],
    ['two values', Buffer.from('a0a0', 'hex'), cbor],
    ['a key that is no text', Buffer.from('a10102', 'hex'), cbor],
    ['a key twice', Buffer.from('a2616101616102', 'hex'), cbor],
    ['a pattern', Buffer.from('a16161d8236161', 'hex'), cbor],
    ['no number', Buffer.from('a16161f97e00', 'hex'), cbor],
    ['a list', Buffer.from('80', 'hex'), cbor],
    ['2,000 fields', 'a=1&'.repeat(2000), form],
    ['broken escapes', 'metadata[name]=%zz', form],
    ['escapes that are no UTF-8', 'metadata[name]=%ff', form],
    ['unbalanced brackets', 'metadata[name=x', form],
    ['1,000 levels', `a${'[b]'.repeat(1000)}=1`, form],
    ['a field twice', 'metadata[name]=a&metadata[name]=b', form],
  ];
  for (const [what, raw, headers] of hostile)
    it(`is 400 with ${what}, soon`, async () => {
      const before = process.cpuUsage();
      await server.admin.refused('malformed_body', 'POST', path, { raw, headers });
      const { user, system } = process.cpuUsage(before);
      // The whole test process, with its client and its sending of a megabyte.
      expect((user + system) / 1000).to.be.below(1000);
    });

  it('sets no prototype, whatever its names', async () => {
    for (const [raw, headers] of [
      ['<a><__proto__><name>x</name></__proto__></a>', xml],
      ['<a><member name="__proto__"><name>x</name></member></a>', xml],
      [Buffer.from('a1695f5f70726f746f5f5fa0', 'hex'), cbor],
      ['__proto__[name]=x', form],
      ['metadata[__proto__][name]=x', form],
    ] as const)
      await server.admin.refused('invalid_body', 'POST', path, { raw, headers });
    expect(({} as { name?: string }).name).to.equal(undefined);
  });
});
