/** The unit of the pipeline: a declaration, from which validation and OpenAPI are derived, and its code. */
import type { Readable } from 'node:stream';
import type { Static, TObject, TSchema } from 'typebox';
import type { ErrorCode } from '../../model/error.js';
import type { RequestContext } from './context.js';
import type { CursorCodec } from './cursor.js';
import type { ResponseData } from './response.js';

export interface ResponseDeclaration {
  description: string;
  /** Schema of the JSON body; none: no body. */
  schema?: TSchema;
  /** If the body is not JSON. */
  mediaType?: string;
  /** Media type of a stream that a client may request instead of the body. */
  stream?: string;
  /** Header fields beyond the common ones. */
  headers?: readonly (
    'Location' | 'Retry-After' | 'Link' | 'ETag' | 'Set-Cookie' | 'Upload-Offset' | 'Upload-Complete'
  )[];
}

export interface Declaration {
  operationId: string;
  summary: string;
  description?: string;
  tags: readonly string[];
  /** Path parameters: exactly those of the route. */
  params?: TObject;
  /** Query parameters; any other is refused. Arrays are repeated parameters. */
  query?: TObject;
  /** Request headers that the handler itself reads and checks, for the document. */
  headers?: TObject;
  /** Whether the response depends on the store alone, so that it is valid for its caller until anything is written. */
  cacheable?: boolean;
  /** Whether `Prefer: wait=N` makes the request wait for the end of the work that it starts. */
  waits?: boolean;
  /** Whether `dryRun=true` makes the request change nothing: its Idempotency-Key is not kept. */
  plans?: boolean;
  /** Whether `Prefer: count=exact` adds the number of items. */
  counts?: boolean;
  /** Whether the response shows a secret, which must not be stored: an Idempotency-Key is not honoured. */
  secret?: boolean;
  /**
   * `begins`: the credential may be `Authorization: Basic` too, and the cookie of a session is none. `ends`: only that
   * cookie is one.
   */
  session?: 'begins' | 'ends';
  /** Whether the handler checks a signature of the body, for which it gets its bytes. */
  signed?: boolean;
  /** The body may also be a form (application/x-www-form-urlencoded), with the JSON in this member. */
  formMember?: string;
  /** Whether the body is passed on as it arrives. */
  content?: boolean;
  /** JSON body; none: a non-empty body is refused. */
  body?: TObject;
  /** A valid body, for the document. */
  example?: unknown;
  responses: Readonly<Record<number, ResponseDeclaration>>;
  /** Errors in addition to those that follow from the rest of the declaration. */
  errors?: readonly ErrorCode[];
}

type Part<S> = S extends TSchema ? Static<S> : Record<string, never>;

/** A validated request. Only `parseAndValidate` ever sees it. */
export interface RouteRequest<D extends Pick<Declaration, 'params' | 'query' | 'body'> = Declaration> {
  readonly params: Part<D['params']>;
  readonly query: Part<D['query']>;
  readonly body: Part<D['body']>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Path as sent by the client, without the query. */
  readonly path: string;
  /** Query as sent by the client, but with the declared names, without the question mark. */
  readonly querystring: string;
  /** The bytes of the body, on a route that is declared `signed`. */
  readonly bytes: () => Buffer;
  /** Opens the body, on a route that is declared with `content`. */
  readonly content: () => Readable;
  readonly context: RequestContext;
}

/** Model: Evergreen's RequestHandler. `C` is the connector, the only way to data. */
export interface RequestHandler<C> {
  readonly declaration: Declaration;
  /** A new copy for each request, so that no state outlives a request. */
  handler(): RequestHandler<C>;
  /**
   * Takes what `execute` needs from the request; the only method that sees it. Lists read and sign cursors with
   * `cursors`.
   */
  parseAndValidate(request: RouteRequest, cursors: CursorCodec): void | Promise<void>;
  /** Does the work; the only method that sees the connector. */
  execute(connector: C): Promise<ResponseData>;
}

/** The two functions of a handler; the result of `parse` is the only input of `execute`. */
export interface HandlerCode<C, D extends Declaration, I> {
  parse(request: RouteRequest<D>): I | Promise<I>;
  execute(connector: C, input: I): Promise<ResponseData> | ResponseData;
}

class FunctionHandler<C, D extends Declaration, I> implements RequestHandler<C> {
  readonly declaration: D;
  readonly #code: HandlerCode<C, D, I>;
  #input: { value: I } | undefined;

  constructor(declaration: D, code: HandlerCode<C, D, I>) {
    this.declaration = declaration;
    this.#code = code;
  }

  handler(): RequestHandler<C> {
    return new FunctionHandler(this.declaration, this.#code);
  }

  parseAndValidate(request: RouteRequest): void | Promise<void> {
    const value = this.#code.parse(request);
    if (value instanceof Promise)
      return value.then((later: I) => {
        this.#input = { value: later };
      });
    this.#input = { value };
  }

  async execute(connector: C): Promise<ResponseData> {
    if (this.#input === undefined)
      throw new Error(`${this.declaration.operationId}: execute before parseAndValidate`);
    return this.#code.execute(connector, this.#input.value);
  }
}

/** Creates a RequestHandler from a declaration and two functions; the request's types follow from the declaration. */
export function requestHandler<C>() {
  return <const D extends Declaration, I>(declaration: D, code: HandlerCode<C, D, I>): RequestHandler<C> =>
    new FunctionHandler(declaration, code);
}
