import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import { decode } from 'cbor2';
import type { Instance } from '../../../src/model/instance.js';
import { checkedFetch } from '../../support/conform.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';
import { xmlElement, xmlValue } from '../../support/xml.js';

const types = ['application/json', 'application/xml', 'application/cbor'] as const;

interface Got {
  status: number;
  headers: Headers;
  type: string;
  value: unknown;
}

function valueOf(type: string, bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (type.includes('cbor')) return decode(bytes);
  return type.includes('xml') ? xmlValue(xmlElement(bytes.toString())) : JSON.parse(bytes.toString());
}

describe('A response', () => {
  let server: TestServer;
  let instance: Instance;
  const description = 'a <b> & "c" ]]> é \u{1f332}';

  before(async () => {
    server = await startServer();
    instance = await server.running('represented', {
      metadata: { description, tags: [{ name: 'env', value: '<p>&amp;' }] },
    });
  });
  after(() => server.stop());

  async function ask(path: string, accept: string, init: RequestInit = {}): Promise<Got> {
    const response = await checkedFetch(server.url + path, {
      ...init,
      headers: { Authorization: `Bearer ${adminKey}`, Accept: accept, ...(init.headers as object) },
    });
    const type = response.headers.get('content-type') ?? '';
    const bytes = Buffer.from(await response.arrayBuffer());
    return { status: response.status, headers: response.headers, type, value: valueOf(type, bytes) };
  }

  it('says the same in JSON, XML and CBOR: one resource, and lists', async () => {
    const { id, projectId } = instance.metadata;
    for (const path of [
      `/api/v2/instances/${id}`,
      '/api/v2/instances?limit=1',
      `/api/v2/instances?projectID=${projectId}&name=nothing-has-this-name`,
      `/api/v1/organizations/${server.catalog.organizationId}/regions`,
      '/api/v2/tasks',
      '/api/v2/users',
      '/api/version',
    ]) {
      const [json, ...others] = await Promise.all(types.map((type) => ask(path, type)));
      expect(json?.status, path).to.equal(200);
      for (const [index, { type, value, headers }] of others.entries()) {
        expect(type, path).to.match(new RegExp(`^${types[index + 1]}`));
        // chai takes seconds for the document.
        expect(isDeepStrictEqual(value, json?.value), `${path} as ${type}`).to.equal(true);
        expect(headers.get('vary'), path).to.match(/\bAccept\b(?!-)/);
        expect(headers.get('link'), path).to.equal(json?.headers.get('link'));
      }
    }
  });

  it('is an XML document with one root, also if it is a list', async () => {
    const text = async (path: string) =>
      (await server.admin.get(path, { headers: { Accept: 'application/xml' } })).text;
    const list = xmlElement(await text('/api/v2/instances'));
    expect([list.name, list.attributes, list.children[0]?.name]).to.deep.equal([
      'list',
      { type: 'list' },
      'item',
    ]);
    expect(xmlElement(await text(`/api/v2/instances/${instance.metadata.id}`)).name).to.equal('resource');
    expect(xmlElement(await text('/nothing')).name).to.equal('error');
  });

  it('comes in the type that the client wants most', async () => {
    for (const [accept, expected] of [
      ['', 'application/json'],
      ['*/*', 'application/json'],
      ['application/*', 'application/json'],
      ['application/xml', 'application/xml'],
      ['APPLICATION/XML', 'application/xml'],
      ['text/xml', 'application/xml'],
      ['text/*', 'application/xml'],
      ['application/json;q=0.4, application/xml;q=0.5', 'application/xml'],
      ['application/json;q=0, */*;q=0.1', 'application/xml'],
      ['application/*;q=0.2, application/cbor;q=0.1', 'application/json'],
      ['application/cbor, */*', 'application/cbor'],
      ['*/*, application/cbor', 'application/cbor'],
      ['application/cbor;q=0.5, */*;q=0.5', 'application/cbor'],
      ['application/xml, application/cbor', 'application/xml'],
      ['application/cbor, application/xml', 'application/cbor'],
      ['application/json; charset=utf-8', 'application/json'],
      ['application/json;odata=verbose;q=0.9, application/xml;q=0.8', 'application/json'],
      ['application/problem+json', 'application/json'],
      ['nonsense', 'application/json'],
      ['application/xml;q=2, application/cbor;q=0.1', 'application/cbor'],
    ] as const) {
      const { type, status } = await ask(
        `/api/v1/organizations/${server.catalog.organizationId}/regions`,
        accept,
      );
      expect([status, type.split(';')[0]], accept).to.deep.equal([200, expected]);
    }
  });

  it('can be JSON that a page may embed', async () => {
    const path = `/api/v2/instances/${instance.metadata.id}`;
    const headers = { Accept: 'application/json;escape=html' };
    const reply = await server.admin.get<Instance>(path, { headers });
    expect(reply.text).not.to.match(/[<>&\u2028\u2029]/);
    expect(reply.body.metadata.description).to.equal(description);
    expect((await server.admin.get(path)).text).to.include('<b> &');
  });

  it('is 406 with the available types if the client accepts none of them, and changes nothing then', async () => {
    const path = '/api/v2/instances';
    for (const accept of ['image/png', 'application/json;q=0', 'text/plain, application/msgpack']) {
      const refused = await server.admin.refused('not_acceptable', 'GET', path, {
        headers: { Accept: accept },
      });
      expect(refused.headers.get('content-type'), accept).to.match(/^application\/json/);
      expect(refused.body.message).to.include('application/xml');
      expect(refused.headers.get('vary')).to.match(/\bAccept\b/);
    }
    const body = server.instanceBody('unacceptable');
    await server.admin.refused('not_acceptable', 'POST', path, { body, headers: { Accept: 'image/png' } });
    const { body: found } = await server.admin.get<unknown[]>(`${path}?name=unacceptable`);
    expect(found).to.deep.equal([]);
  });

  it('that is a file, a stream or nothing has only its own type, and is never 406', async () => {
    for (const path of ['/metrics', '/docs']) {
      const response = await checkedFetch(server.url + path, { headers: { Accept: 'image/png' } });
      expect(response.status, path).to.equal(200);
    }
    const created = await server.createInstance('goes');
    const { status } = await ask(`/api/v2/instances/${created.metadata.id}`, 'image/png', {
      method: 'DELETE',
    });
    expect(status).to.be.oneOf([202, 204, 406]);
  });

  it('to HEAD has the headers of the same GET', async () => {
    const path = `/api/v2/instances/${instance.metadata.id}`;
    for (const type of types) {
      const got = await ask(path, type);
      const head = await ask(path, type, { method: 'HEAD' });
      for (const name of ['content-type', 'etag', 'vary', 'content-length'])
        expect(head.headers.get(name), `${type} ${name}`).to.equal(got.headers.get(name));
    }
  });

  it('has another entity tag in each type; each is good for a 304 of its own and for If-Match', async () => {
    const path = `/api/v2/instances/${instance.metadata.id}`;
    const all = [...types, 'application/json;escape=html'];
    const tags = await Promise.all(
      all.map(async (type) => (await ask(path, type)).headers.get('etag') ?? ''),
    );
    expect(new Set(tags).size).to.equal(all.length);
    for (const [index, type] of all.entries()) {
      const statusWith = async (tag = '') =>
        (await ask(path, type, { headers: { 'If-None-Match': tag } })).status;
      expect(await statusWith(tags[index]), type).to.equal(304);
      expect(await statusWith(tags[(index + 1) % all.length]), type).to.equal(200);
      const matched = await ask(path, type, {
        headers: { 'If-Match': tags[(index + 1) % all.length] ?? '' },
      });
      expect(matched.status, type).to.equal(200);
      const wrong = await ask(path, type, { headers: { 'If-Match': '"999999;xml"' } });
      expect(wrong.status, type).to.equal(412);
      const changed = await server.admin.patch(
        path,
        { metadata: { description } },
        { headers: { 'If-Match': tags[index] ?? '' } },
      );
      expect(changed.status, type).to.be.oneOf([200, 202]);
    }
  });

  it('to a change comes in the preferred type too, and the same again under its Idempotency-Key', async () => {
    const body = JSON.stringify(server.instanceBody('repeated'));
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': 'represented' };
    const send = (accept: string) => ask('/api/v2/instances', accept, { method: 'POST', body, headers });
    const first = await send('application/xml');
    expect([first.status, first.type]).to.deep.equal([201, 'application/xml; charset=utf-8']);
    const second = await send('application/cbor');
    expect([second.status, second.type]).to.deep.equal([201, 'application/cbor']);
    const third = await send('application/json');
    expect(third.headers.get('idempotency-replayed')).to.equal('true');
    expect(second.value).to.deep.equal(first.value);
    expect(third.value).to.deep.equal(first.value);
  });

  it('that refuses comes in the preferred type: an error, a problem document, a stored refusal', async () => {
    for (const accept of ['application/xml', 'text/xml', 'application/cbor', 'application/json']) {
      const { status, type, value } = await ask('/api/v2/instances?limt=1', accept);
      expect(status).to.equal(400);
      expect(type).to.match(new RegExp(`^${accept.replace('text', 'application')}`));
      expect(value).to.deep.include({ code: 'invalid_parameter', retryable: false });
      expect((value as { errors: unknown }).errors, accept).to.deep.equal([
        { parameter: 'limt', message: '"limt" is not known. Did you mean "limit"?' },
      ]);
    }
    const problem = await checkedFetch(`${server.url}/nothing`, {
      headers: { Accept: 'application/problem+xml' },
    });
    expect(problem.headers.get('content-type')).to.match(/^application\/problem\+xml/);
    const root = xmlElement(await problem.text());
    expect([root.name, root.attributes['xmlns']]).to.deep.equal(['problem', 'urn:ietf:rfc:7807']);
    expect(root.children.find(({ name }) => name === 'status')).to.deep.include({
      text: '404',
      attributes: {},
    });
    const refused = (accept: string) =>
      ask('/api/v2/instances', accept, {
        method: 'POST',
        body: '{"metadata":{}}',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'refused-everywhere' },
      });
    const first = await refused('application/json');
    const again = await refused('application/xml');
    expect(again.headers.get('idempotency-replayed')).to.equal(first.headers.get('idempotency-replayed'));
    expect([again.type, again.status]).to.deep.equal(['application/xml; charset=utf-8', 400]);
  });
});
