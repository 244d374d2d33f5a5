import { expect } from 'chai';
import { Type } from 'typebox';
import {
  MutableContext,
  mustHaveFound,
  mustHaveProjectContext,
  mustHaveUser,
} from '../../../src/route/pipeline/context.js';
import { CursorCodec } from '../../../src/route/pipeline/cursor.js';
import { RequestLifetime } from '../../../src/route/pipeline/request-lifetime.js';
import { type RouteRequest, requestHandler } from '../../../src/route/pipeline/handler.js';
import { PaginationExecutor } from '../../../src/route/pipeline/pagination.js';
import { failureOf } from '../../support/eventually.js';

interface Connected {
  greet(name: string): string;
}

const declaration = {
  operationId: 'greet',
  summary: 'Greets',
  tags: ['test'],
  query: Type.Object({ name: Type.String() }, { additionalProperties: false }),
  responses: { 200: { description: 'A greeting.', schema: Type.String() } },
} as const;

const handler = requestHandler<Connected>()(declaration, {
  parse: ({ query }) => query.name,
  execute: (connector, name) => ({ result: connector.greet(name) }),
});

const cursors = new CursorCodec(Buffer.alloc(32));

function requestFor(name: string): RouteRequest {
  return { query: { name } } as unknown as RouteRequest;
}

describe('a request handler', () => {
  const connector = { greet: (name: string) => `Hello, ${name}!` };

  it('gives execute what parse took, and nothing else', async () => {
    const one = handler.handler();
    await one.parseAndValidate(requestFor('Ada'), cursors);
    expect(await one.execute(connector)).to.deep.equal({ result: 'Hello, Ada!' });
  });

  it('makes a fresh copy for each request, so that none sees another’s input', async () => {
    const [one, two] = [handler.handler(), handler.handler()];
    await one.parseAndValidate(requestFor('Ada'), cursors);
    await two.parseAndValidate(requestFor('Grace'), cursors);
    expect(await one.execute(connector)).to.deep.equal({ result: 'Hello, Ada!' });
    expect(await two.execute(connector)).to.deep.equal({ result: 'Hello, Grace!' });
    expect((await failureOf(() => handler.handler().execute(connector))).message).to.include(
      'before parseAndValidate',
    );
  });

  it('for pages refuses to execute before it has parsed, too', async () => {
    const pages = new PaginationExecutor<Connected, undefined>({
      declaration,
      args: () => undefined,
      paginator: () => Promise.resolve({ items: [], pages: {} }),
    });
    expect((await failureOf(() => pages.handler().execute(connector))).message).to.include(
      'before parseAndValidate',
    );
  });

  it('for pages declares key and limit beside the list’s own parameters', () => {
    const pages = new PaginationExecutor<Connected, undefined>({
      declaration,
      args: () => undefined,
      paginator: () => Promise.resolve({ items: [], pages: {} }),
      keyQueryParam: 'from',
      limitQueryParam: 'count',
    });
    expect(Object.keys(pages.declaration.query?.properties ?? {}))
      .to.include.members(['name', 'from', 'count'])
      .and.not.include('key');
    expect(pages.declaration.query?.required).to.deep.equal(['name']);
  });
});

describe('the context of a request', () => {
  const context = new MutableContext('r', new RequestLifetime(), 0, undefined);

  it('fails loudly when a handler counts on what its route did not provide', async () => {
    expect((await failureOf(() => mustHaveUser(context))).message).to.include('authenticator');
    expect((await failureOf(() => mustHaveProjectContext(context))).message).to.include('prefetch');
    expect((await failureOf(() => mustHaveFound(context))).message).to.include('prefetch');
  });
});
