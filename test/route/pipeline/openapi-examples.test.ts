/** The document against the server: its examples work, its references resolve, and it lists just what there is. */
import Router from '@koa/router';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect } from 'chai';
import { errorCodes } from '../../../src/model/error.js';
import { passingTracer } from '../../../src/model/trace.js';
import { exampleIds } from '../../../src/route/example.js';
import { getHandler } from '../../../src/route/attach.js';
import { Api, checkedFetch } from '../../support/conform.js';
import { ExampleIds } from '../../support/example-ids.js';
import { onFirstSite } from '../../support/first-site.js';
import { cookieOf, signedInPage } from '../../support/page.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

type Json = Record<string, unknown>;

interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  example?: unknown;
  schema: Json;
}

interface MediaType {
  schema: Json;
  example?: unknown;
  examples?: Record<string, { $ref: string }>;
}

interface Operation {
  operationId: string;
  parameters: (Parameter | { $ref: string })[];
  requestBody?: { required: boolean; content: Record<string, { example?: unknown; schema: Json }> };
  responses: Record<string, { headers?: Json; description: string; content?: Record<string, MediaType> }>;
  security: Record<string, string[]>[];
}

interface Document {
  'x-otherwise': unknown;
  paths: Record<string, Record<string, Operation>>;
  components: {
    securitySchemes: Record<string, Json>;
    schemas: Record<string, Json>;
    examples: Record<string, { value: Json }>;
    responses: Json;
    headers: Record<string, Parameter>;
    parameters: Record<string, Parameter>;
  };
}

describe('the OpenAPI document and the server', () => {
  let server: TestServer;
  let document: Document;

  const operations = () =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        path,
        method: method.toUpperCase(),
        operation,
      })),
    );

  /** What a reference points at; fails when that is nothing. */
  function resolve(reference: string): unknown {
    expect(reference).to.match(/^#\//);
    let found: unknown = document;
    for (const part of reference.slice(2).split('/')) found = (found as Json | undefined)?.[part];
    expect(found, reference).to.be.an('object');
    return found;
  }

  const parametersOf = ({ parameters }: Operation) =>
    parameters.map((parameter) => ('$ref' in parameter ? (resolve(parameter.$ref) as Parameter) : parameter));

  before(async () => {
    server = await startServer();
    document = (await server.admin.get<Document>('/openapi.json')).body;
  });
  after(() => server.stop());

  describe('agree on examples:', () => {
    let ids: ExampleIds;

    /** Those that only read come first. */
    const readsFirst = () => {
      ids = new ExampleIds(server);
      return operations().sort((one, other) => Number(other.method === 'GET') - Number(one.method === 'GET'));
    };

    const withReal = (text: string, real: Record<string, string>) =>
      Object.entries(real).reduce((changed, [example, id]) => changed.replaceAll(example, id), text);

    it('every operation succeeds when its example is sent, with and without each optional header and query parameter', async () => {
      for (const one of readsFirst()) {
        const { path, method, operation } = one;
        const where = `${method} ${path}`;
        const parameters = parametersOf(operation);
        const examples = (place: Parameter['in']) =>
          parameters.filter((one) => one.in === place).map((one) => [one.name, one.example] as const);
        const inPath = new Map(examples('path'));
        const optional = Object.fromEntries(examples('header')) as Record<string, string>;
        // Where a page begins is for the server to say; no document can know it.
        const query = examples('query')
          .filter(([name]) => name !== 'key')
          .flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]));
        const required = parameters.filter((one) => one.required).map(({ name }) => name);
        const least = query.filter(([name]) => required.includes(name ?? ''));
        for (const [headers, search] of [
          [{}, least],
          [optional, least],
          [{}, query],
        ] as const) {
          const real = await ids.of(method, operation.operationId);
          const api = operation.operationId === 'signOut' ? await signedInPage(server.admin) : server.admin;
          const plain = path.replaceAll(/\{(\w+)\}/g, (_whole, name: string) => {
            const example = inPath.get(name);
            expect(example, `${where}: example of ${name}`).to.be.a('string');
            return real[example as string] ?? (example as string);
          });
          const asked = withReal(new URLSearchParams(search as [string, string][]).toString(), real);
          const target = asked === '' ? plain : `${plain}?${asked}`;
          const content = operation.requestBody?.content['application/json'];
          const [type = ''] = Object.keys(operation.requestBody?.content ?? {});
          // A part of a content is whatever it is.
          const isPart = operation.requestBody !== undefined && content === undefined;
          if (isPart) expect(type, where).to.equal('application/partial-upload');
          else if (operation.requestBody !== undefined)
            expect(content?.example, `${where}: example of the body`).to.be.an('object');
          const example = content && withReal(JSON.stringify(content.example), real);
          const body = example === undefined ? {} : { body: JSON.parse(example) as Json };
          const part = isPart ? { raw: 'x' } : {};
          const partType = isPart ? { 'Content-Type': type } : {};
          const send = (api: Api, more = {}) =>
            api.call(method, target, { headers: { ...headers, ...partType, ...more }, ...body, ...part });
          const reply = operation.operationId === 'createSetup' ? await onFirstSite(send) : await send(api);
          expect(reply.status, `${where}: ${reply.text}`).to.be.within(200, 299);
        }
      }
    }).timeout(120_000);

    it('every parameter, every header, every JSON body, answer and error has one, which its schema takes', () => {
      const ajv = new Ajv2020({ strict: false, allErrors: true });
      formats.default(ajv);
      const compiled = new Map<string, ValidateFunction>();
      let count = 0;
      const takes = (where: string, schema: Json, example: unknown) => {
        expect(example, `${where}: example`).not.to.be.undefined;
        const text = JSON.stringify(schema);
        const validate = compiled.get(text) ?? ajv.compile({ ...schema, components: document.components });
        compiled.set(text, validate);
        const faults = () => ajv.errorsText(validate.errors);
        expect(validate(example), `${where}: ${JSON.stringify(example)}: ${faults()}`).to.be.true;
        count += 1;
      };
      const { headers, parameters } = document.components;
      for (const [name, { schema, example }] of Object.entries({ ...headers, ...parameters }))
        takes(name, schema, example);
      for (const { path, method, operation } of operations()) {
        const where = `${method} ${path}`;
        for (const { name, schema, example } of parametersOf(operation))
          takes(`${where}: ${name}`, schema, example);
        const body = operation.requestBody?.content['application/json'];
        if (body !== undefined) takes(`${where}: body`, body.schema, body.example);
        for (const [status, { description, content = {} }] of Object.entries(operation.responses)) {
          for (const [mediaType, { schema, example, examples }] of Object.entries(content)) {
            if (!mediaType.endsWith('json')) continue;
            const here = `${where} → ${status} ${mediaType}`;
            if (examples === undefined) takes(here, schema, example);
            const codes = [...description.matchAll(/^`([a-z_]+)`: /gm)].map(([, code = '']) => code);
            for (const code of examples === undefined ? [] : codes) {
              const { value } = resolve(examples?.[code]?.$ref ?? '') as { value: Json };
              takes(`${here} ${code}`, schema, value);
              expect(value['code']).to.equal(code);
            }
          }
        }
      }
      expect(count).to.be.above(1000);
    });

    it('every query parameter of every operation is known to the server', async () => {
      for (const one of readsFirst()) {
        const { path, method, operation } = one;
        const named = parametersOf(operation).filter((parameter) => parameter.in === 'query');
        if (named.length === 0) continue;
        const real = await ids.of(method, operation.operationId);
        const target = withReal(
          path.replaceAll(
            /\{(\w+)\}/g,
            (_whole, name: string) => (exampleIds as Record<string, string>)[name] ?? 'errors',
          ),
          real,
        );
        for (const { name } of named) {
          const { status, body } = await server.admin.call<{ errors?: { message: string }[] }>(
            method,
            `${target}?${name}=~`,
          );
          const unknown = (body.errors ?? []).filter(({ message }) => message.includes('is not known'));
          expect(unknown, `${method} ${path}: ${name}`).to.deep.equal([]);
          expect(status, `${method} ${path}: ${name}`).to.be.within(200, 499);
        }
      }
    }).timeout(60_000);
  });

  it('agree on who needs a credential: exactly the operations with security refuse strangers with 401', async () => {
    const stranger = new Api(server.url);
    for (const { path, method, operation } of operations()) {
      const target = path.replaceAll(
        /\{(\w+)\}/g,
        (_whole, name: string) => (exampleIds as Record<string, string>)[name] ?? 'errors',
      );
      const { status } = await stranger.call(method, target);
      expect(status === 401, `${method} ${path}: ${status}`).to.equal(operation.security.length > 0);
    }
  });

  it('agree on each security scheme: what it says lets a caller in', async () => {
    const { securitySchemes } = document.components;
    const cookie = cookieOf(await server.admin.post('/api/v2/signin'));
    expect(cookie.split('=')[0]).to.equal(securitySchemes['session']?.['name']);
    const given: Record<string, Record<string, string>> = {
      session: { Cookie: cookie },
      bearer: { Authorization: `Bearer ${adminKey}` },
      apiUser: { [String(securitySchemes['apiUser']?.['name'])]: 'admin' },
      apiKey: { [String(securitySchemes['apiKey']?.['name'])]: adminKey },
    };
    const secured = operations().find(({ operation }) => operation.operationId === 'getVersion');
    expect(secured?.operation.security).to.have.length(3);
    for (const alternative of secured?.operation.security ?? []) {
      const headers = Object.keys(alternative).reduce((all, name) => ({ ...all, ...given[name] }), {});
      expect(
        (await new Api(server.url, headers).get('/api/version')).status,
        JSON.stringify(alternative),
      ).to.equal(200);
    }
  });

  it('refer to nothing that is not there: parameters, headers, schemas, security schemes', () => {
    let references = 0;
    const visit = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      const { $ref } = value as { $ref?: unknown };
      if (typeof $ref === 'string') {
        references += 1;
        resolve($ref);
      }
      Object.values(value).forEach(visit);
    };
    visit(document);
    expect(references).to.be.above(100);
    for (const { path, method, operation } of operations()) {
      for (const name of operation.security.flatMap((one) => Object.keys(one))) {
        expect(document.components.securitySchemes, `${method} ${path}`).to.have.property(name);
      }
      for (const parameter of parametersOf(operation)) {
        expect(parameter, `${method} ${path}`).to.include.keys('name', 'in', 'schema');
      }
    }
  });

  it('have no component that nothing refers to', () => {
    const text = JSON.stringify(document);
    for (const [kind, components] of Object.entries(document.components)) {
      if (kind === 'securitySchemes') continue;
      // Of routes that go away there are none now.
      for (const name of Object.keys(components).filter(
        (one) => !/^(Deprecation|Sunset|(problem_)?gone)$/.test(one),
      ))
        expect(text, `${kind}/${name}`).to.include(`"#/components/${kind}/${name}"`);
    }
  });

  it('agree on what is answered where there is no operation: OPTIONS, another method, another path', async () => {
    const shape = resolve('#/components/responses/Error405') as { headers: Json };
    expect(shape.headers).to.have.property('Allow');
    expect(JSON.stringify(document['x-otherwise'])).to.include('Error405').and.to.include('Options');
    // The helper holds each of them against these components.
    const { headers } = await server.admin.call('OPTIONS', '/api/v2/instances');
    expect(headers.get('allow')).to.equal('GET, HEAD, OPTIONS, POST');
    await server.admin.refused('method_not_allowed', 'PUT', '/api/v2/instances');
    await server.admin.refused('not_found', 'GET', '/api/v2/nothing');
  });

  it('name what a request may bring to be found again: its id, its trace, and where a stream goes on', () => {
    for (const { path, method, operation } of operations()) {
      const names = parametersOf(operation).map(({ name }) => name);
      expect(names, `${method} ${path}`).to.include.members(['X-Request-Id', 'traceparent']);
      expect(names.includes('Last-Event-ID'), `${method} ${path}`).to.equal(
        /\/(events|consoleoutput)$/.test(path) && !path.includes('/admin/'),
      );
    }
  });

  it('agree on the errors that each operation may answer: every code that it names has that status', () => {
    for (const { path, method, operation } of operations()) {
      for (const [status, { description }] of Object.entries(operation.responses)) {
        for (const [, code = ''] of description.matchAll(/^`([a-z_]+)`: /gm)) {
          expect(errorCodes, code).to.have.property(code);
          expect(errorCodes[code as keyof typeof errorCodes].status, `${method} ${path} ${code}`).to.equal(
            Number(status),
          );
        }
      }
    }
  });

  it('agree on what any request may get, whatever its route: what is wrong with its head, its time or ourselves', () => {
    const anywhere = ['400', '408', '414', '417', '431', '500', '503'];
    for (const { path, method, operation } of operations()) {
      expect(Object.keys(operation.responses), `${method} ${path}`).to.include.members(anywhere);
    }
  });

  it('know each error code: in the schema of errors, in that of problems, and on the page that problems point to', async () => {
    const page = await (await checkedFetch(`${server.url}/docs/errors`)).text();
    for (const name of ['Error', 'Problem']) {
      const { properties } = document.components.schemas[name] as {
        properties: { code: { enum: string[]; 'x-codes': unknown } };
      };
      expect(properties.code.enum, name).to.have.members(Object.keys(errorCodes));
      expect(properties.code['x-codes'], name).to.deep.equal(errorCodes);
      const ajv = new Ajv2020({ strict: false });
      formats.default(ajv);
      const { examples } = document.components;
      for (const [code, { retryable }] of Object.entries(errorCodes)) {
        const { value } = examples[name === 'Error' ? code : `problem_${code}`] ?? { value: {} };
        expect(value).to.deep.include({ code, retryable });
        const schema = document.components.schemas[name] ?? {};
        expect(ajv.validate(schema, value), `${name} ${code}: ${ajv.errorsText()}`).to.be.true;
        expect(ajv.validate(schema, { ...value, retryable: !retryable }), `${name} ${code}`).to.be.false;
      }
    }
    for (const [code, { status }] of Object.entries(errorCodes)) {
      expect(page, code).to.match(new RegExp(`id="${code}".*<td>${status}</td>`));
    }
  });

  it('have the same routes: all that the router has are in the document, and the other way round', () => {
    const { connector } = server.app;
    const router = getHandler(new Router(), {
      connector,
      service: {
        version: '0',
        started: new Date(),
        ready: () => true,
        checks: () => [],
        metrics: () => Promise.resolve(''),
      },
      cursorSecret: Buffer.alloc(32),
      bodyLimit: 1024,
      streams: { heartbeat: 15_000, lifetime: 3_600_000 },
      responseCache: 2 ** 20,
      corsOrigins: [],
      authorizationServers: [],
      scopes: [],
      log: server.log,
      publicUrl: () => server.url,
      tracer: passingTracer,
      timeout: 1000,
      observe: () => undefined,
      draining: () => false,
    });
    const routed = router.stack.flatMap((layer) =>
      layer.methods
        .filter((method) => method !== 'HEAD')
        .map((method) => `${method} ${String(layer.path).replaceAll(/:([A-Za-z_]+)/g, '{$1}')}`),
    );
    const documented = operations().map(({ path, method }) => `${method} ${path}`);
    expect(routed).to.have.length.above(15);
    expect(documented.sort()).to.deep.equal(routed.sort());
  });
});
