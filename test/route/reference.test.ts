import { Validator } from '@seriousme/openapi-schema-validator';
import { expect } from 'chai';
import { errorCodes } from '../../src/model/error.js';
import { Api, checkedFetch } from '../support/conform.js';
import { startServer, type TestServer } from '../support/server.js';

interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  parameters: { name: string; in: string; required: boolean; schema: unknown }[];
  security: unknown[];
  responses: Record<string, { description: string; content?: Record<string, { schema: unknown }> }>;
}

interface Document {
  openapi: string;
  servers: { url: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
}

/** What issues 2, 5 and 14 promise, by path. */
const promised: Record<string, string[]> = {
  '/api/v1/organizations/{organizationID}/regions': ['get'],
  '/api/v1/organizations/{organizationID}/regions/{regionID}/flavors': ['get'],
  '/api/v1/organizations/{organizationID}/regions/{regionID}/images': ['get'],
  '/api/v2/instances': ['get', 'post'],
  '/api/v2/instances/{instanceID}': ['delete', 'get', 'patch', 'put'],
  '/api/v2/instances/{instanceID}/start': ['post'],
  '/api/v2/instances/{instanceID}/stop': ['post'],
  '/api/v2/instances/{instanceID}/reboot': ['post'],
  '/api/v2/instances/{instanceID}/consoleoutput': ['get'],
  '/api/v2/tasks': ['get'],
  '/api/v2/tasks/{taskID}': ['get', 'patch'],
  '/api/v2/tasks/{taskID}/abort': ['post'],
  '/api/v2/tasks/{taskID}/restart': ['post'],
  '/api/v2/status/recent_tasks': ['get'],
  '/api/v2/status/queue': ['get'],
  '/api/v2/status/drift': ['get'],
  '/api/v2/admin/task_queue': ['delete'],
  '/api/v2/admin/restart': ['post'],
  '/api/v2/admin/settings': ['get', 'patch'],
  '/api/v2/admin/service_flags': ['get', 'patch', 'put'],
  '/api/v2/admin/banner': ['get', 'put'],
  '/api/v2/admin/events': ['get'],
  '/api/v2/admin/revert': ['post'],
  '/api/v2/instances/{instanceID}/extend_expiration': ['post'],
  '/api/v2/events': ['get'],
  '/api/v2/projects': ['get', 'post'],
  '/api/v2/networks': ['get'],
  '/api/v2/projects/{projectID}': ['delete', 'get', 'patch'],
  '/api/v2/projects/{projectID}/members': ['get', 'post'],
  '/api/v2/projects/{projectID}/members/{userID}': ['delete', 'put'],
  '/api/v2/organizations': ['get', 'post'],
  '/api/v2/organizations/{organizationID}': ['get', 'patch'],
  '/api/v2/projects/{projectID}/owners': ['get', 'post'],
  '/api/v2/projects/{projectID}/owners/{userID}': ['delete'],
  '/api/v2/user/settings': ['get', 'patch', 'post'],
  '/api/v2/user': ['get'],
  '/api/v2/users': ['get', 'post'],
  '/api/v2/users/{userID}': ['get', 'patch'],
  '/api/v2/users/{userID}/instances': ['get'],
  '/api/v2/users/{userID}/apikeys': ['get', 'post'],
  '/api/v2/users/{userID}/apikeys/{keyID}': ['delete', 'get'],
  '/api/v2/keys': ['get', 'post'],
  '/api/v2/keys/{keyName}': ['delete'],
  '/api/v2/labels': ['get', 'post'],
  '/api/v2/labels/{labelID}': ['delete', 'get', 'patch'],
  '/api/v2/instances/{instanceID}/labels': ['get', 'post'],
  '/api/v2/instances/{instanceID}/labels/{labelID}': ['delete'],
  '/api/v2/projects/{projectID}/labels': ['get', 'post'],
  '/api/v2/projects/{projectID}/labels/{labelID}': ['delete'],
  '/api/v2/organizations/{organizationID}/labels': ['get', 'post'],
  '/api/v2/organizations/{organizationID}/labels/{labelID}': ['delete'],
  '/api/v2/users/{userID}/labels': ['get', 'post'],
  '/api/v2/users/{userID}/labels/{labelID}': ['delete'],
  '/api/v2/networks/{networkID}': ['get'],
  '/api/v2/regions/{regionID}': ['get'],
  '/api/v2/regions/{regionID}/flavors/{flavorID}': ['get'],
  '/api/v2/regions/{regionID}/images/{imageID}': ['get'],
  '/api/v2/images': ['get', 'post'],
  '/api/v2/images/{imageID}': ['delete', 'get', 'patch'],
  '/api/v2/images/{imageID}/content': ['get', 'patch'],
  '/api/version': ['get'],
  '/health': ['get'],
  '/ready': ['get'],
  '/openapi.json': ['get'],
  '/docs': ['get'],
};

describe('GET /openapi.json', () => {
  let server: TestServer;
  let document: Document;

  const operations = () =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        path,
        method,
        operation,
        where: `${method} ${path}`,
      })),
    );

  before(async () => {
    server = await startServer();
    document = (await new Api(server.url).get<Document>('/openapi.json')).body;
  });
  after(() => server.stop());

  it('is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate(structuredClone(document) as never);
    expect(result.errors).to.be.undefined;
    expect(result.valid).to.be.true;
    expect(document.openapi).to.equal('3.1.0');
  });

  it('holds every promised operation', () => {
    for (const [path, methods] of Object.entries(promised)) {
      expect(Object.keys(document.paths[path] ?? {}).sort(), path).to.deep.equal(methods);
    }
  });

  it('gives every operation a unique id, a summary and a tag', () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(ids).not.to.include(undefined);
    expect(new Set(ids).size).to.equal(ids.length);
    for (const { operation, where } of operations()) {
      expect(operation.summary, where).to.be.a('string').that.is.not.empty;
      expect(operation.tags, where).to.have.length(1);
    }
  });

  it('declares every path parameter that the path has, as required', () => {
    for (const { path, operation, where } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const declared = operation.parameters.filter((parameter) => parameter.in === 'path');
      expect(
        declared.map((parameter) => parameter.name),
        where,
      ).to.have.members(inPath);
      expect(
        declared.every((parameter) => parameter.required),
        where,
      ).to.be.true;
    }
  });

  it('declares errors with the one error schema: 401 where a user is needed, 404 where a path names something', () => {
    for (const { path, operation, where } of operations()) {
      const statuses = Object.keys(operation.responses);
      expect(statuses, where).to.include.members(['400', '500', '503']);
      if (operation.security.length > 0) expect(statuses, where).to.include('401');
      if (path.includes('{')) expect(statuses, where).to.include('404');
      for (const [status, response] of Object.entries(operation.responses)) {
        if (Number(status) < 400 || (path === '/health' && status === '503')) continue;
        const schema = response.content?.['application/json']?.schema;
        expect(schema, `${where} ${status}`).to.deep.equal({ $ref: '#/components/schemas/Error' });
      }
    }
  });

  it('lists every error code that there is', () => {
    const { Error: schema } = document.components.schemas as {
      Error: { properties: { code: { enum: string[] } } };
    };
    expect(schema.properties.code.enum).to.have.members(Object.keys(errorCodes));
  });

  it('marks as open only what says of the service itself', () => {
    const open = operations().filter(({ operation }) => operation.security.length === 0);
    const paths = open.map(({ path }) => path);
    expect(paths).to.include.members(['/health', '/ready', '/openapi.json', '/docs', '/docs/{asset}']);
    expect(paths.filter((path) => path.startsWith('/api/'))).to.deep.equal([
      '/api/v2/admin/banner',
      '/api/v2/setup',
      '/api/v2/setup',
    ]);
  });

  it('names the server as clients reach it', () => {
    expect(document.servers).to.deep.equal([{ url: server.url }]);
  });

  it('answers anonymous callers', async () => {
    expect((await checkedFetch(`${server.url}/openapi.json`)).status).to.equal(200);
  });
});

describe('GET /docs', () => {
  let server: TestServer;

  const load = async (path: string) => {
    const response = await checkedFetch(server.url + path);
    return {
      status: response.status,
      type: response.headers.get('content-type') ?? '',
      text: await response.text(),
    };
  };
  /** Addresses that a browser would load by itself. */
  const foreign = (text: string) => text.match(/(?:https?:)?\/\/[a-z0-9.-]+\.[a-z]{2,}/gi);

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('shows a page that reaches for nothing outside this server', async () => {
    const page = await load('/docs');
    expect(page.status).to.equal(200);
    expect(page.type).to.match(/^text\/html/);
    expect(foreign(page.text)).to.be.null;
    const start = await load('/docs/start.js');
    expect(foreign(start.text)).to.be.null;
    expect(start.text).to.include('/openapi.json').and.to.include('validatorUrl: null');
  });

  it('has every file that the page names, with its type', async () => {
    const page = await load('/docs');
    const addresses = [...page.text.matchAll(/(?:href|src)="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(addresses).to.have.length.above(2);
    for (const address of addresses) {
      const file = await load(address);
      expect(file.status, address).to.equal(200);
      expect(file.type, address).to.match(address.endsWith('.css') ? /^text\/css/ : /^text\/javascript/);
      expect(file.text.length, address).to.be.above(50);
    }
  });

  it('loads no style or font from elsewhere either', async () => {
    const { text } = await load('/docs/swagger-ui.css');
    expect(text.match(/@import|url\((?!["']?data:)[^)]*\)/g)).to.be.null;
  });

  it('explains every error code under the address that problem documents give as their type', async () => {
    const { text, type } = await load('/docs/errors');
    expect(type).to.match(/^text\/html/);
    for (const code of Object.keys(errorCodes)) expect(text).to.include(`id="${code}"`);
    const problem = await new Api(server.url).get<{ type: string; status: number; code: string }>(
      '/api/version',
      {
        headers: { Accept: 'application/problem+json' },
      },
    );
    expect(problem.headers.get('content-type')).to.match(/^application\/problem\+json/);
    expect(problem.body).to.include({
      type: `${server.url}/docs/errors#unauthorized`,
      status: 401,
      code: 'unauthorized',
    });
  });

  it('has no other files, whatever the name', async () => {
    const api = new Api(server.url);
    for (const name of [
      'nothing',
      '..%2f..%2fpackage.json',
      '%2e%2e',
      'constructor',
      '__proto__',
      'index.html',
      '%00',
    ]) {
      const reply = await api.get(`/docs/${name}`);
      expect(reply.status, name).to.equal(404);
    }
  });
});
