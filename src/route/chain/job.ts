/** One request as the handlers of a chain see it. Names: GoREST's Job. */
import type { Context } from 'koa';
import { ApiError } from '../../model/error.js';
import type { User } from '../pipeline/context.js';
import { preferred } from '../pipeline/accept.js';
import { JobContext } from './context.js';
import { type Formatter, formatter, type WriteOptions } from './formatter.js';
import { type Language, languageFor, languagesOf } from './languages.js';
import { internalPath, type JobPath } from './path.js';
import type { TemplatesCache } from './templates.js';
import { Values } from './values.js';
import { Version } from './version.js';

/** What all chains of a multiplexer share. */
export interface Environment {
  readonly basePath: string;
  readonly defaultDomain: string;
  readonly defaultResource: string;
  readonly templates: TemplatesCache;
}

/** What a job needs of its server. */
export interface JobParts {
  ctx: Context;
  environment: Environment;
  base: readonly string[];
  path: JobPath;
  signal: AbortSignal;
  /** Undefined on chains that anyone may call. */
  user: User | undefined;
  readBody: (ctx: Context) => Promise<unknown>;
  readForm: (ctx: Context) => Promise<URLSearchParams>;
}

const offers = [
  { mediaType: 'application/json', notation: 'json' },
  { mediaType: 'application/xml', notation: 'xml' },
  { mediaType: 'application/cbor', notation: 'cbor' },
] as const;

export class Job {
  readonly ctx: Context;
  readonly environment: Environment;
  readonly path: JobPath;
  readonly user: User | undefined;
  readonly query: Values;
  readonly #parts: JobParts;
  #context: JobContext;
  #version: Version;
  #form: Promise<Values> | undefined;

  /** Throws 400 for a version that cannot be read: a client must not get the oldest one instead. */
  constructor(parts: JobParts) {
    const { ctx, environment, path, user, signal } = parts;
    this.#parts = parts;
    this.ctx = ctx;
    this.environment = environment;
    this.path = path;
    this.user = user;
    this.query = new Values(new URLSearchParams(ctx.querystring));
    this.#context = new JobContext(signal);
    ctx.vary('Version');
    const asked = ctx.get('Version').trim();
    const version = asked === '' ? new Version(1) : Version.parse(asked);
    if (version === undefined) {
      const message = 'Expected a version such as 2, 2.1 or 2.1.0.';
      throw new ApiError('invalid_parameter', `Version: ${message}`, {
        errors: [{ parameter: 'Version', message }],
      });
    }
    this.#version = version;
    ctx.set('Version', version.toString());
  }

  get domain(): string {
    return this.path.domain;
  }

  get resource(): string {
    return this.path.resource;
  }

  /** All of it, joined by slashes. */
  get resourceId(): string {
    return this.path.joinedResourceId;
  }

  get context(): JobContext {
    return this.#context;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  /** For the handlers that follow. */
  enhanceContext(change: (context: JobContext) => JobContext): void {
    const context: unknown = change(this.#context);
    if (!(context instanceof JobContext)) throw new TypeError('enhanceContext must return a context');
    this.#context = context;
  }

  /** As the client asks; 1.0.0 if it does not. */
  get version(): Version {
    return this.#version;
  }

  /** That of the response. */
  setVersion(version: Version): void {
    this.#version = version;
    this.ctx.set('Version', version.toString());
  }

  /** Of these, the one that the client wants most. */
  acceptsContentType(...types: string[]): string | undefined {
    this.ctx.vary('Accept');
    const found = types.map((mediaType) => ({ mediaType }));
    return preferred(this.ctx.get('Accept'), found)?.mediaType;
  }

  hasContentType(type: string): boolean {
    return this.ctx.is(type) === type;
  }

  languages(): Language[] {
    return languagesOf(this.ctx.get('Accept-Language'));
  }

  /** Of these, the one that the client wants most, which the response then says. */
  language(...available: string[]): string | undefined {
    this.ctx.vary('Accept-Language');
    const found = languageFor(this.ctx.get('Accept-Language'), available);
    if (found !== undefined) this.ctx.set('Content-Language', found);
    return found;
  }

  internalPath(
    domain: string,
    resource: string,
    resourceId = '',
    query: Readonly<Record<string, string | number | boolean>> = {},
  ): string {
    return internalPath(this.#parts.base, [domain, resource, resourceId], query);
  }

  /** Only within the chains. 307 keeps the method and the body. False: the chain ends here. */
  redirect(domain: string, resource: string, resourceId = '', status: 303 | 307 | 308 = 307): false {
    this.ctx.status = status;
    this.ctx.redirect(this.internalPath(domain, resource, resourceId));
    return false;
  }

  json({ html = true } = {}): Formatter {
    return formatter(this.ctx, html ? 'html' : 'json');
  }

  xml(): Formatter {
    return formatter(this.ctx, 'xml');
  }

  cbor(): Formatter {
    return formatter(this.ctx, 'cbor');
  }

  /** For the notation that the client wants most. Throws 406 if it wants none. */
  formatter(): Formatter {
    this.ctx.vary('Accept');
    const found = preferred(this.ctx.get('Accept'), offers);
    if (found !== undefined) return formatter(this.ctx, found.notation);
    const message = `The response is available as ${offers.map(({ mediaType }) => mediaType).join(', ')}.`;
    throw new ApiError('not_acceptable', message, { errors: [{ parameter: 'Accept', message }] });
  }

  respond(status: number, data: unknown, options: WriteOptions = {}): void {
    this.formatter().write(status, data, options);
  }

  text(status: number, text: string): void {
    this.ctx.status = status;
    this.ctx.set('Content-Type', 'text/plain; charset=utf-8');
    this.ctx.body = text;
  }

  /** The body, in JSON, XML or CBOR. Throws 413, 415 or 400. */
  read(): Promise<unknown> {
    return this.#parts.readBody(this.ctx);
  }

  /** The fields of a form; its body is read when first asked for. */
  form(): Promise<Values> {
    return (this.#form ??= this.#parts.readForm(this.ctx).then((fields) => new Values(fields)));
  }

  async render(id: string, data: object, status = 200): Promise<void> {
    this.#send(status, await this.environment.templates.render(id, data));
  }

  async loadAndRender(id: string, file: string, contentType: string, data: object): Promise<void> {
    this.#send(200, await this.environment.templates.loadAndRender(id, file, contentType, data));
  }

  #send(status: number, { text, contentType }: { text: string; contentType: string }): void {
    this.ctx.status = status;
    this.ctx.set(
      'Content-Type',
      contentType.includes('charset') ? contentType : `${contentType}; charset=utf-8`,
    );
    this.ctx.body = text;
  }

  toString(): string {
    return `${this.ctx.method} ${internalPath(this.#parts.base, [this.domain, this.resource, this.resourceId])}`;
  }
}
