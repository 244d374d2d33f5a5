/**
 * How a request passes through its route: identify, authorize, readInput, execute, respond (docs/pipeline.md). The
 * caller is identified, and required if necessary, before anything is read for the request; the body is read last.
 *
 * A step returns a promise only if there is something to wait for: each unnecessary await costs a fraction of a
 * microsecond.
 */
import { validateHeaderValue } from 'node:http';
import type Router from '@koa/router';
import type { Context } from 'koa';
import { Type } from 'typebox';
import { ApiError } from '../../model/error.js';
import type { Interruption } from '../../model/interruption.js';
import { queryNames } from './aliases.js';
import { unauthorized } from './authenticator.js';
import { type BodyReader, bodyOptionsOf, contentReader, hasBody, patchTypes, refuseBody } from './body.js';
import {
  bearerOf,
  MutableContext,
  mustHaveUser,
  type PipelineState,
  type Shown,
  type User,
} from './context.js';
import type { CursorCodec } from './cursor.js';
import type { FailureLimit } from './failure-limit.js';
import { errorAnswer, storedRefusal } from './error-response.js';
import type { Declaration, RouteRequest } from './handler.js';
import {
  claimed,
  type IdempotencyKeeper,
  idempotencyKeyOf,
  meaningOf,
  once,
  storedResponse,
} from './idempotency.js';
import type { PageWriter } from './page-writer.js';
import { preconditionOf } from './preconditions.js';
import { countAsked } from './prefer.js';
import type { RateLimit } from './rate-limit.js';
import { formsOf, type Representation, representationFor } from './representation.js';
import type { ResponseCache } from './response-cache.js';
import { type Answer, answerOf, type ResponseData } from './response.js';
import { respond } from './respond.js';
import { isRepeatable, type MethodHandler } from './route-manager.js';
import { bodyValidator, parameterValidator } from './validation.js';

/** What the pipeline needs from its environment. */
export interface PipelineEnvironment<C> {
  connector: C;
  cursors: CursorCodec;
  /** Base URL under which clients reach the server, without a trailing slash. */
  publicUrl: () => string;
  /** The caller of the request; undefined without credentials. Throws 401 for wrong ones. */
  identify: (shown: Shown, interruption: Interruption) => Promise<User | undefined> | User | undefined;
  readBody: BodyReader;
  rateLimit: RateLimit;
  /** Undefined: callers may fail to authenticate as often as they like. */
  failures?: FailureLimit | undefined;
  /** Undefined: an Idempotency-Key has no effect. */
  idempotency?: IdempotencyKeeper | undefined;
  /** For routes that are declared `cacheable`. Undefined: none. */
  cache?: ResponseCache | undefined;
  /** Undefined: no response is shown as a page. */
  page?: PageWriter | undefined;
}

/** One method of a route, with everything that its requests share. */
interface Operation<C> {
  /** Method and path. */
  name: string;
  path: string;
  method: MethodHandler<C>;
  declaration: Declaration;
  environment: PipelineEnvironment<C>;
  readonly check: Checks;
  cache: ResponseCache | undefined;
  /** What can be sent instead of JSON. */
  forms: readonly Representation[];
}

type Parameters = Record<string, unknown>;

/** A validated request. */
interface Input extends Omit<RouteRequest, 'params' | 'query' | 'body' | 'bytes'> {
  readonly params: Parameters;
  readonly query: Parameters;
  body: object;
  bytes: () => Buffer;
}

/**
 * Serves the requests of the environment's routes: the argument of `register` for each method of a route. The
 * validators are compiled when the route is first called.
 */
export function serve<C>(environment: PipelineEnvironment<C>) {
  return (path: string, method: MethodHandler<C>) => {
    const name = `${method.methodType} ${path}`;
    const { declaration } = method.requestHandler;
    let checks: Checks | undefined;
    const cache = declaration.cacheable === true ? environment.cache : undefined;
    const operation: Operation<C> = {
      name,
      path,
      method,
      declaration,
      environment,
      cache,
      forms: formsOf(declaration.responses, environment.page),
      get check() {
        return (checks ??= checksOf(declaration));
      },
    };
    return (ctx: Context) => answer(operation, ctx);
  };
}

/** For what is served beside the routes: its caller, identified and counted as on a route. Throws 401 without one. */
export async function admitCaller<C>(environment: PipelineEnvironment<C>, ctx: Context): Promise<User> {
  const { requestId, lifetime, traceparent } = ctx.state as PipelineState;
  const context = new MutableContext(requestId, lifetime, 0, traceparent);
  const user = await lifetime.race(Promise.resolve(identified(environment, ctx, context, false)));
  admit(environment.rateLimit, ctx, context, user);
  return mustHaveUser(context);
}

async function answer<C>(operation: Operation<C>, ctx: Context): Promise<void> {
  const context = contextOf(operation, ctx);
  (ctx.state as PipelineState).context = context;
  const identifying = identify(operation, ctx, context);
  if (identifying !== undefined) await identifying;
  const params = operation.check.params(ctx['params'] as Record<string, string>);
  const authorizing = authorize(operation, context, params);
  if (authorizing !== undefined) await authorizing;
  const form = representationFor(ctx, operation.forms);
  const cache = isCounted(operation, ctx) ? undefined : operation.cache;
  const cached = cache === undefined || hasBody(ctx) ? undefined : cache.get(context.user, ctx.url);
  if (cached !== undefined) {
    respond(ctx, cached, form);
    return;
  }
  const version = cache?.version();
  const reading = readInput(operation, ctx, context, params);
  const input = reading instanceof Promise ? await reading : reading;
  const made = await execute(operation, ctx, context, input).catch((error: unknown) => {
    if (verifiesItself(operation.declaration)) operation.environment.failures?.failed(ctx.req, error);
    throw error;
  });
  if (version !== undefined) cache?.put(context.user, ctx.url, made, version);
  respond(ctx, made, form);
}

/** Cached responses have no count. */
function isCounted<C>({ declaration }: Operation<C>, ctx: Context): boolean {
  return declaration.counts === true && countAsked(ctx.req.headers['prefer']);
}

/** A route that needs no user, but refuses a credential of its own kind. */
function verifiesItself({ errors }: Declaration): boolean {
  return errors?.includes('unauthorized') === true;
}

function contextOf<C>({ declaration }: Operation<C>, ctx: Context): MutableContext {
  const { requestId, lifetime, wait, traceparent } = ctx.state as PipelineState;
  const waiting = declaration.waits === true ? wait : 0;
  if (waiting > 0) lifetime.extend(waiting * 1000);
  return new MutableContext(requestId, lifetime, waiting, traceparent);
}

/** Identifies the caller if a user is needed, and applies the rate limit. */
function identify<C>(
  { method, declaration, environment }: Operation<C>,
  ctx: Context,
  context: MutableContext,
): Promise<void> | undefined {
  if (!method.authenticator.needsUser) {
    if (verifiesItself(declaration)) environment.failures?.admit(ctx.req);
    return undefined;
  }
  const user = identified(environment, ctx, context, declaration.session === 'begins');
  if (user instanceof Promise)
    return context.lifetime.race(user).then((found) => admit(environment.rateLimit, ctx, context, found));
  admit(environment.rateLimit, ctx, context, user);
  return undefined;
}

/** The caller, unless too many attempts to be one have failed. */
function identified<C>(
  { identify: look, failures }: PipelineEnvironment<C>,
  { req, method }: Context,
  { requestId, lifetime }: MutableContext,
  signsIn: boolean,
): Promise<User | undefined> | User | undefined {
  const shown = { headers: req.headers, method, requestId, signsIn };
  if (failures === undefined) return look(shown, lifetime);
  failures.admit(req);
  try {
    const user = look(shown, lifetime);
    return user instanceof Promise ? failures.watch(req, user) : user;
  } catch (error) {
    failures.failed(req, error);
    throw error;
  }
}

function admit(rateLimit: RateLimit, ctx: Context, context: MutableContext, user: User | undefined): void {
  if (user === undefined) throw unauthorized(false);
  const state = ctx.state as PipelineState;
  state.user = user.name;
  if (user.sessionId !== undefined) {
    // Unlike Authorization, a cookie does not keep shared caches from storing the response (RFC 9111, section 3.5).
    state.ofSession = true;
    ctx.vary('Cookie');
  }
  rateLimit.take(ctx.res, user.id);
  context.user = user;
}

/** Authorizes the caller, based on what the prefetch functions find. */
function authorize<C>(
  { method, environment }: Operation<C>,
  context: MutableContext,
  params: Parameters,
): Promise<void> | undefined {
  const { prefetchFunctions, authenticator } = method;
  if (prefetchFunctions === undefined) {
    authenticator.authenticate(context);
    return undefined;
  }
  const prefetchAndAuthenticate = async () => {
    for (const prefetch of prefetchFunctions) {
      const fetching = prefetch(context, environment.connector, params as Record<string, string>);
      const fetched = await context.lifetime.race(fetching);
      if (fetched !== undefined) Object.assign(context, fetched);
    }
    authenticator.authenticate(context);
  };
  return prefetchAndAuthenticate();
}

/** Query and body, validated against their schemas. */
function readInput<C>(
  { declaration, environment, check }: Operation<C>,
  ctx: Context,
  context: MutableContext,
  params: Parameters,
): Promise<Input> | Input {
  const querystring = check.names(ctx.querystring);
  const input: Input = {
    params,
    query: check.query(querystring),
    body: {},
    headers: ctx.req.headers,
    path: ctx.path,
    querystring,
    bytes: () => Buffer.alloc(0),
    content: contentReader(ctx, declaration.content),
    context,
  };
  if (declaration.body === undefined) return refuseBody(ctx, declaration.content)?.then(() => input) ?? input;
  return environment.readBody(ctx, bodyOptionsOf(declaration)).then((body) => {
    check.body(body);
    input.body = body as object;
    const raw = ctx.request.rawBody as string;
    if (declaration.signed === true) input.bytes = () => Buffer.from(raw, 'latin1');
    return input;
  });
}

/** The work; for a change with its preconditions, and with an Idempotency-Key only once. */
function execute<C>(
  operation: Operation<C>,
  ctx: Context,
  context: MutableContext,
  input: Input,
): Promise<Answer> {
  const { method, environment } = operation;
  if (method.methodType === 'GET') return perform(operation, ctx, context, input);
  context.precondition = preconditionOf(ctx.req.headers);
  context.storeResponse = (data) => {
    answerToChange(operation, data);
    return [];
  };
  return environment.idempotency !== undefined && isRepeatable(method)
    ? performOnce(operation, environment.idempotency, ctx, context, input)
    : perform(operation, ctx, context, input);
}

async function perform<C>(
  operation: Operation<C>,
  ctx: Context,
  { lifetime, wait }: MutableContext,
  input: Input,
): Promise<Answer> {
  const { connector, cursors } = operation.environment;
  const handler = operation.method.requestHandler.handler();
  const parsing = handler.parseAndValidate(input as RouteRequest, cursors);
  if (parsing !== undefined) await lifetime.race(parsing);
  // Nothing waits for it any more: the time ran out while the body arrived.
  if (lifetime.reason !== undefined) throw lifetime.reason;
  const data = await lifetime.race(handler.execute(connector));
  if (wait > 0) ctx.set('Preference-Applied', `wait=${wait}`);
  return answerTo(operation, data);
}

async function performOnce<C>(
  operation: Operation<C>,
  idempotency: IdempotencyKeeper,
  ctx: Context,
  context: MutableContext,
  input: Input,
): Promise<Answer> {
  const key = idempotencyKeyOf(ctx);
  const { path, declaration, environment } = operation;
  const { params, query, body } = input;
  const isDry = declaration.plans === true && query['dryRun'] === true;
  if (key === undefined || isDry) return perform(operation, ctx, context, input);
  const named = path.replaceAll(/\{([A-Za-z_]+)\}/g, (_all, name: string) => String(params[name]));
  const asked = {
    userId: bearerOf(context.user),
    key,
    operation: `${ctx.method} ${named}`,
    content: `[${meaningOf(query, declaration.query?.properties)},${meaningOf(body, declaration.body?.properties)}]`,
    formerContent: () => JSON.stringify([query, body]),
  };
  const claim = await claimed(context.lifetime, idempotency.begin(asked, context.signal));
  context.storeResponse = (data) => claim.writes(storedResponse(answerToChange(operation, data)));
  const answer = await once(
    context.lifetime,
    claim,
    () => perform(operation, ctx, context, input),
    (error) => storedResponse(errorAnswer(error, context.requestId, environment.publicUrl())),
  );
  return claim.answer === undefined
    ? answer
    : storedRefusal(ctx, answer, environment.publicUrl(), environment.page);
}

/** The response with the handler's data. Rejects responses that the document does not declare. */
function answerTo<C>({ name, declaration, environment }: Operation<C>, data: ResponseData): Answer {
  const answer = answerOf(data, environment.publicUrl());
  if (Object.hasOwn(declaration.responses, answer.status)) return answer;
  throw new Error(`${name}: responds with the undeclared status ${answer.status}`);
}

/** The same, prepared before the change is stored: a mistake in it must leave nothing behind. */
function answerToChange<C>(operation: Operation<C>, data: ResponseData): Answer {
  const answer = answerTo(operation, data);
  for (const [name, value] of Object.entries(answer.headers)) validateHeaderValue(name, value);
  return answer;
}

const noParameters = Type.Object({}, { additionalProperties: false });

type Checks = ReturnType<typeof checksOf>;

/** The validators of a request's parts. */
function checksOf(declaration: Declaration) {
  const params = parameterValidator(declaration.params ?? noParameters);
  const query = parameterValidator(declaration.query ?? noParameters);
  return {
    params: (raw: Record<string, string>) => params(Object.entries(raw)),
    names: queryNames(declaration.query ?? noParameters),
    query: (text: string) => query(text === '' ? [] : new URLSearchParams(text)),
    body: declaration.body === undefined ? () => undefined : bodyValidator(declaration.body),
  };
}

/**
 * Responds if no route matched: OPTIONS with the methods of the path, 405 with Allow if the path exists, otherwise 404.
 */
export function answerUnmatched(router: Router, ctx: Context): void {
  const matched = router.match(ctx.path, ctx.method);
  const methods = new Set(matched.path.flatMap((layer) => layer.methods));
  if (methods.size === 0) {
    throw new ApiError('not_found', `There is nothing at ${ctx.path.slice(0, 200)}; /docs lists all routes.`);
  }
  const allow = [...methods, 'OPTIONS'].sort().join(', ');
  if (ctx.method !== 'OPTIONS') {
    throw new ApiError('method_not_allowed', `${ctx.method} is not allowed here; use one of ${allow}.`, {
      headers: { Allow: allow },
    });
  }
  const patches = methods.has('PATCH') ? { 'Accept-Patch': patchTypes.join(', ') } : {};
  const answer: Answer = { status: 204, headers: { Allow: allow, 'Cache-Control': 'no-cache', ...patches } };
  respond(ctx, answer);
}
