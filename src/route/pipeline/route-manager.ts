/**
 * The composition of a route, and the way of a request through it. Names: Evergreen's REST v2 route package.
 *
 * Order, mended against the model: the caller is identified and, where a user is needed, demanded before anything is
 * read for him; path parameters are checked before they reach a prefetch; the body is read last.
 */
import { validateHeaderValue } from 'node:http';
import type Router from '@koa/router';
import type { Context } from 'koa';
import { ApiError } from '../../model/error.js';
import type { Interruption } from '../../model/interruption.js';
import { queryNames } from './aliases.js';
import type { Authenticator } from './authenticator.js';
import { unauthorized } from './authenticator.js';
import type { BodyReader } from './body.js';
import { patchTypes, refuseBody } from './body.js';
import type { Fetched, RequestContext, User } from './context.js';
import { LiveContext } from './context.js';
import type { CursorCodec } from './cursor.js';
import { type Deprecation, faultOf, writeDeprecation } from './deprecation.js';
import { errorAnswer, keptRefusal } from './error-response.js';
import type { RequestHandler, RouteRequest } from './handler.js';
import type { IdempotencyKeeper } from './idempotency.js';
import { claimed, idempotencyKeyOf, kept, meaningOf, once } from './idempotency.js';
import type { KeptAnswers } from './kept-answers.js';
import type { Life } from './life.js';
import { preconditionOf } from './preconditions.js';
import type { RateLimit } from './rate-limit.js';
import { type Answer, answerOf, type ResponseData, send } from './response.js';
import { assertSchema, bodyValidator, parameterValidator } from './validation.js';

const methodTypes = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

export type MethodType = (typeof methodTypes)[number];

/** Segments of plain characters, and parameters that are a segment each: what more the router knows, no schema would check. */
const routePattern = /^(\/[A-Za-z0-9._~-]+|\/\{[A-Za-z_]+\})+$/;

/**
 * Fetches what must be known before the access decision, such as the project of the path's resource: what it gives back
 * is added to the context.
 */
export type PrefetchFunc<C> = (
  context: RequestContext,
  connector: C,
  params: Readonly<Record<string, string>>,
) => Promise<Fetched | undefined>;

/** One method of a route. */
export interface MethodHandler<C> {
  prefetchFunctions?: readonly PrefetchFunc<C>[];
  methodType: MethodType;
  authenticator: Authenticator;
  requestHandler: RequestHandler<C>;
}

/** All methods of one path. With a version the path is `/api/v{version}{route}`, without one the route itself. */
export interface RouteManager<C> {
  route: string;
  version?: number;
  methods: readonly MethodHandler<C>[];
  /** Announces that the route goes away (RFC 9745, RFC 8594). */
  deprecation?: Deprecation;
}

/** What the pipeline needs of its surroundings. */
export interface PipelineEnvironment<C> {
  connector: C;
  cursors: CursorCodec;
  /** Base URL under which clients reach the server, without a trailing slash. */
  publicUrl: () => string;
  /** The caller of the request; undefined without credentials. Throws 401 for wrong ones. */
  identify: (
    headers: Context['headers'],
    interruption: Interruption,
  ) => Promise<User | undefined> | User | undefined;
  readBody: BodyReader;
  rateLimit: RateLimit;
  idempotency: IdempotencyKeeper;
  /** Undefined: none are kept. */
  answers?: KeptAnswers | undefined;
}

/** State that the pipeline keeps on koa's context. */
export interface PipelineState {
  requestId: string;
  life: Life;
  /** Seconds of `Prefer: wait`. */
  wait: number;
  traceparent?: string | undefined;
  /** The route's pattern, for logs and metrics. */
  routePattern?: string;
  user?: string;
  /** What lay behind a refusal, and which of several reasons it had, for the log. */
  cause?: string | undefined;
  reason?: string | undefined;
}

/** What of a request comes from its schemas. */
type Input = Pick<RouteRequest, 'params' | 'query' | 'querystring' | 'body'>;

export function pathOf<C>(manager: RouteManager<C>): string {
  return (manager.version === undefined ? '' : `/api/v${manager.version}`) + manager.route;
}

/** A mistake in the declaration of a route; stops the start. */
export class RegistrationError extends Error {
  override readonly name = 'RegistrationError';
}

/** Puts the route on the router. Throws RegistrationError for whatever would only show at a request. */
export function register<C>(
  router: Router,
  manager: RouteManager<C>,
  environment: PipelineEnvironment<C>,
): void {
  const path = pathOf(manager);
  checkPath(manager);
  const fault = manager.deprecation === undefined ? undefined : faultOf(manager.deprecation);
  if (fault !== undefined) throw new RegistrationError(`${path}: ${fault}`);
  if (manager.methods.length === 0) throw new RegistrationError(`${path}: has no methods`);
  const seen = new Set<MethodType>();
  for (const method of manager.methods) {
    const where = `${method.methodType} ${path}`;
    if (!methodTypes.includes(method.methodType))
      throw new RegistrationError(`${where}: the method is none of ${methodTypes.join(', ')}`);
    if (seen.has(method.methodType)) throw new RegistrationError(`${where}: is declared twice`);
    seen.add(method.methodType);
    // The types forbid it, but a route may be assembled at run time.
    if ((method.authenticator as Authenticator | undefined) === undefined) {
      throw new RegistrationError(`${where}: has no authenticator; say NoAuth if everybody may pass`);
    }
    if ((method.requestHandler as Partial<RequestHandler<C>> | undefined)?.declaration === undefined) {
      throw new RegistrationError(`${where}: has no requestHandler with a declaration`);
    }
    const serve = makeHandler(path, method, environment, where);
    const koaPath = path.replaceAll(/\{([A-Za-z_]+)\}/g, ':$1');
    router.register(koaPath, [method.methodType], (ctx) => {
      (ctx.state as PipelineState).routePattern = path;
      if (manager.deprecation !== undefined) writeDeprecation(ctx, manager.deprecation);
      return serve(ctx);
    });
  }
}

function checkPath<C>(manager: RouteManager<C>): void {
  const { route, version } = manager;
  if (!routePattern.test(route) || /\/\.\.?(\/|$)/.test(route)) {
    throw new RegistrationError(
      `${pathOf(manager)}: the route "${route}" must consist of segments such as /things and /{id}: letters, digits and ".", "_", "~", "-"; a parameter's name has letters and "_" only`,
    );
  }
  if (version !== undefined && !(Number.isSafeInteger(version) && version > 0))
    throw new RegistrationError(`${pathOf(manager)}: the version ${version} is no positive integer`);
}

function makeHandler<C>(
  path: string,
  method: MethodHandler<C>,
  environment: PipelineEnvironment<C>,
  where: string,
) {
  const { declaration } = method.requestHandler;
  const check = compile(path, declaration, where);
  if (declaration.stored === true && method.methodType !== 'GET')
    throw new RegistrationError(`${where}: only the answer to a GET can be one from the store alone`);

  const prefetches = method.prefetchFunctions ?? [];

  /** Step 1: who calls, and whether not too often. */
  function admit(ctx: Context, context: LiveContext, user: User | undefined): void {
    if (user === undefined) throw unauthorized(false);
    (ctx.state as PipelineState).user = user.name;
    environment.rateLimit.take(ctx.res, user.id);
    context.user = user;
  }

  /** Step 3: what must be known before the access decision. */
  async function prefetch(context: LiveContext, params: Record<string, unknown>): Promise<void> {
    for (const fetch of prefetches) {
      const found = await fetch(context, environment.connector, params as Record<string, string>);
      if (found !== undefined) Object.assign(context, found);
    }
  }

  /** Steps 5 to 7, without the sending. */
  async function perform(ctx: Context, context: LiveContext, input: Input) {
    const handler = method.requestHandler.handler();
    const request: RouteRequest = {
      params: input.params,
      query: input.query,
      body: input.body,
      headers: ctx.req.headers,
      path: ctx.path,
      querystring: input.querystring,
      context,
    };
    const parsing = handler.parseAndValidate(request, environment.cursors);
    const { life } = context;
    if (parsing !== undefined) await life.race(parsing);
    // Nobody waits for it any more: the time went by while the body came.
    if (life.reason !== undefined) throw life.reason;
    const data = await life.race(handler.execute(environment.connector));
    if (context.wait > 0) ctx.set('Preference-Applied', `wait=${context.wait}`);
    return declared(answerOf(data, environment.publicUrl()));
  }

  /** Stops what the document knows nothing of. */
  function declared(answer: Answer): Answer {
    if (Object.hasOwn(declaration.responses, answer.status)) return answer;
    throw new Error(`${where}: answers with the status ${answer.status}, which is not declared`);
  }

  /** The answer to a change, made before its effect is stored: a mistake in it must leave nothing behind. */
  function checked(data: ResponseData): Answer {
    const answer = declared(answerOf(data, environment.publicUrl()));
    for (const [name, value] of Object.entries(answer.headers)) validateHeaderValue(name, value);
    return answer;
  }

  /** The same, once for each Idempotency-Key. */
  async function performOnce(ctx: Context, context: LiveContext, input: Input, key: string) {
    const named = path.replaceAll(/\{([A-Za-z_]+)\}/g, (_all, name: string) => String(input.params[name]));
    const operation = `${ctx.method} ${named}`;
    const content = `[${meaningOf(input.query, declaration.query?.properties)},${meaningOf(input.body, declaration.body?.properties)}]`;
    const formerContent = () => JSON.stringify([input.query, input.body]);
    const asked = { userId: context.user?.id ?? '', key, operation, content, formerContent };
    const claim = await claimed(context.life, environment.idempotency.begin(asked, context.signal));
    context.remember = (data) => claim.writes(kept(checked(data)));
    const answer = await once(
      context.life,
      claim,
      () => perform(ctx, context, input),
      (error) => kept(errorAnswer(error, context.requestId, environment.publicUrl())),
    );
    return claim.answer === undefined ? answer : keptRefusal(ctx, answer, environment.publicUrl());
  }

  /** Makes the answer of a list, and keeps it for the same caller until something is written. */
  async function performKept(
    ctx: Context,
    context: LiveContext,
    answers: KeptAnswers,
    params: Record<string, unknown>,
  ) {
    const version = answers.version();
    const querystring = check.names(ctx.querystring);
    const input = { params, query: check.query(querystring), querystring, body: {} };
    const answer = await perform(ctx, context, input);
    answers.keep(context.user, ctx.url, answer, version);
    return answer;
  }

  // Waits only where there is something to wait for: each await of what is there already costs its part of a microsecond.
  return async (ctx: Context): Promise<void> => {
    const { requestId, life, wait, traceparent } = ctx.state as PipelineState;
    const waiting = declaration.waits === true ? wait : 0;
    if (waiting > 0) life.extend(waiting * 1000);
    const context = new LiveContext(requestId, life, waiting, traceparent);
    if (method.authenticator.needsUser) {
      const user = environment.identify(ctx.req.headers, life);
      admit(ctx, context, user instanceof Promise ? await life.race(user) : user);
    }
    const params = check.params(ctx['params'] as Record<string, string>);
    if (prefetches.length > 0) await life.race(prefetch(context, params));
    method.authenticator.authenticate(context);
    if (environment.answers !== undefined && declaration.stored === true) {
      const refusing = refuseBody(ctx);
      if (refusing !== undefined) await refusing;
      const known = environment.answers.get(context.user, ctx.url);
      send(ctx, known ?? (await performKept(ctx, context, environment.answers, params)));
      return;
    }
    const querystring = check.names(ctx.querystring);
    const query = check.query(querystring);
    let body: unknown = {};
    if (declaration.body === undefined) {
      const refusing = refuseBody(ctx);
      if (refusing !== undefined) await refusing;
    } else {
      body = await environment.readBody(ctx);
      check.body(body);
    }
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
      const precondition = preconditionOf(ctx.req.headers);
      if (precondition !== undefined) context.precondition = precondition;
      context.remember = (data) => {
        checked(data);
        return [];
      };
    }
    const input = { params, query, querystring, body } as Input;
    const key = method.methodType === 'POST' ? idempotencyKeyOf(ctx) : undefined;
    send(
      ctx,
      await (key === undefined ? perform(ctx, context, input) : performOnce(ctx, context, input, key)),
    );
  };
}

function compile(path: string, declaration: RequestHandler<never>['declaration'], where: string) {
  const declared = Object.keys(declaration.params?.properties ?? {}).sort();
  const inPath = [...path.matchAll(/\{([A-Za-z_]+)\}/g)].map((match) => match[1] ?? '').sort();
  if (declared.join() !== inPath.join()) {
    throw new RegistrationError(
      `${where}: the path has parameters [${inPath.join()}], the declaration [${declared.join()}]`,
    );
  }
  if (Object.keys(declaration.responses).length === 0)
    throw new RegistrationError(`${where}: declares no response`);
  try {
    for (const response of Object.values(declaration.responses)) {
      if (response.schema !== undefined) assertSchema(response.schema);
    }
    const none = { type: 'object', properties: {}, additionalProperties: false } as never;
    const params = parameterValidator(declaration.params ?? none);
    const query = parameterValidator(declaration.query ?? none);
    return {
      params: (raw: Record<string, string>) => params(Object.entries(raw)),
      names: queryNames(declaration.query ?? none),
      query: (text: string) => query(text === '' ? [] : new URLSearchParams(text)),
      body: declaration.body === undefined ? () => undefined : bodyValidator(declaration.body),
    };
  } catch (cause) {
    throw new RegistrationError(`${where}: a schema cannot be compiled: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Answers what no route matched: OPTIONS with what the path allows, 405 with Allow when it exists, else 404. */
export function answerUnmatched(router: Router, ctx: Context): void {
  const matched = router.match(ctx.path, ctx.method);
  const methods = new Set(matched.path.flatMap((layer) => layer.methods));
  if (methods.size === 0) {
    throw new ApiError('not_found', `There is no ${ctx.path.slice(0, 200)} here; /docs lists what there is.`);
  }
  const allow = [...methods, 'OPTIONS'].sort().join(', ');
  if (ctx.method !== 'OPTIONS') {
    throw new ApiError('method_not_allowed', `${ctx.method} is not possible here; allowed are ${allow}.`, {
      headers: { Allow: allow },
    });
  }
  const patches = methods.has('PATCH') ? { 'Accept-Patch': patchTypes.join(', ') } : {};
  const answer: Answer = { status: 204, headers: { Allow: allow, 'Cache-Control': 'no-cache', ...patches } };
  send(ctx, answer);
}
