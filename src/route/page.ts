/** Every address as a page for people: what it answers, where it leads, and a form for each change that it allows. */
import { Type } from 'typebox';
import type { Context } from 'koa';
import { linksOf } from '../model/link-header.js';
import { ApiError, notFound } from '../model/error.js';
import { type Addresses, contentOf, nameOf, worded } from '../page/content.js';
import { type FieldSchema, fieldsOf } from '../page/field.js';
import { openPages, type Page, type PageForm, pageHeaders, type PageLink } from '../page/index.js';
import type { PipelineState } from './pipeline/context.js';
import type { PageWriter } from './pipeline/page-writer.js';
import { type Answer, RawBody } from './pipeline/response.js';
import type { ErrorBody } from './pipeline/error-response.js';
import { type MethodHandler, pathOf } from './pipeline/route-manager.js';
import { defineHandler, type Route } from './route.js';
import type { Connector } from '../data/connector.js';

type Method = MethodHandler<Connector>;

const pages = openPages();

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What of the routes the pages need, by path. */
class Site {
  readonly #routes = new Map<string, Route>();
  /** Paths of resources that one id names, by the name of that parameter in lower case. */
  readonly #byId = new Map<string, string>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const path = pathOf(route);
      this.#routes.set(path, route);
      const [, parameter] = /^[^{]*\/\{([A-Za-z_]+)\}$/.exec(path) ?? [];
      if (parameter !== undefined && this.get(path) !== undefined)
        this.#byId.set(parameter.toLowerCase(), path);
    }
  }

  methods(path: string): readonly Method[] {
    return this.#routes.get(path)?.methods ?? [];
  }

  /** The GET of the path, if it answers in JSON. */
  get(path: string): Method | undefined {
    return this.methods(path).find(
      ({ methodType, requestHandler }) =>
        methodType === 'GET' &&
        Object.values(requestHandler.declaration.responses).some(({ schema }) => schema !== undefined),
    );
  }

  paths(): string[] {
    return [...this.#routes.keys()];
  }

  /** The paths one plain segment below. */
  below(path: string): string[] {
    return this.paths().filter(
      (one) => one.startsWith(`${path}/`) && /^[^/{]+$/.test(one.slice(path.length + 1)),
    );
  }

  itemPath(path: string): string | undefined {
    return this.paths().find(
      (one) => one.startsWith(`${path}/{`) && !one.slice(path.length + 1).includes('/') && this.get(one),
    );
  }

  /** The address of what this parameter names. */
  named(parameter: string, id: string): string | undefined {
    return this.#byId.get(parameter.toLowerCase())?.replace(/\{[^}]+\}/, encodeURIComponent(id));
  }
}

function filled(path: string, params: Readonly<Record<string, string>>): string {
  return path.replaceAll(/\{([A-Za-z_]+)\}/g, (_all, name: string) => encodeURIComponent(params[name] ?? ''));
}

/** Whether the caller passes. What a route needs beyond what this one has found is left for its request to decide. */
function passes({ authenticator }: Method, { context }: PipelineState): boolean {
  if (!authenticator.needsUser) return true;
  if (context?.user === undefined) return false;
  try {
    authenticator.authenticate(context);
    return true;
  } catch (error) {
    return !(error instanceof ApiError);
  }
}

function idOf(item: object): string | undefined {
  const { metadata, id } = item as { metadata?: { id?: unknown }; id?: unknown };
  const found = metadata?.id ?? id;
  return typeof found === 'string' || typeof found === 'number' ? String(found) : undefined;
}

function addressesIn(site: Site, { path, pattern, publicUrl }: Place): Addresses {
  const itemPath = site.itemPath(pattern);
  const parameter = `${(path.split('/').at(-1) ?? '').replace(/ies$/, 'y').replace(/s$/, '')}id`;
  return {
    of: (name, text) => {
      if (text.startsWith(`${publicUrl}/`)) return text.slice(publicUrl.length);
      if (text.startsWith('/api/')) return text;
      return uuid.test(text) ? site.named(name.replace(/s$/, ''), text) : undefined;
    },
    ofItem: (item) => {
      const id = idOf(item);
      if (id === undefined) return undefined;
      return itemPath === undefined ? site.named(parameter, id) : `${path}/${encodeURIComponent(id)}`;
    },
  };
}

interface Place {
  path: string;
  /** The route's path; empty if there is no route. */
  pattern: string;
  params: Readonly<Record<string, string>>;
  publicUrl: string;
}

function formOf(method: Method, action: string, value: unknown, tag: string): PageForm {
  const { methodType, requestHandler } = method;
  const { operationId, summary, description, body } = requestHandler.declaration;
  const shown = methodType === 'POST' ? undefined : value;
  return {
    ...{ id: operationId, method: methodType, action, summary, description },
    tag: methodType === 'POST' ? '' : tag,
    fields:
      body === undefined
        ? []
        : fieldsOf(body, { form: operationId, path: [], isRequired: true, value: shown }),
  };
}

/** The changes of the address itself, and the actions just below it. */
function formsOf(site: Site, { pattern, params }: Place, state: PipelineState, value: unknown, tag = '') {
  const own = site.methods(pattern).filter(({ methodType }) => methodType !== 'GET');
  const actions = site
    .below(pattern)
    .flatMap((path) =>
      site.methods(path).flatMap((method) => (method.methodType === 'POST' ? [{ path, method }] : [])),
    );
  return [...own.map((method) => ({ path: pattern, method })), ...actions]
    .filter(({ method }) => method.requestHandler.declaration.session === undefined && passes(method, state))
    .map(({ path, method }) => formOf(method, filled(path, params), value, tag));
}

function relatedOf(site: Site, { pattern, params, path }: Place, state: PipelineState): PageLink[] {
  const below = site.below(pattern).filter((one) => {
    const method = site.get(one);
    return method !== undefined && passes(method, state);
  });
  const parent = path.slice(0, path.lastIndexOf('/'));
  const parentPattern = pattern.slice(0, pattern.lastIndexOf('/'));
  const up =
    site.get(parentPattern) === undefined
      ? []
      : [{ href: parent, text: `all ${worded(parent.split('/').at(-1) ?? '')}` }];
  return [
    ...up,
    ...below.map((one) => ({ href: filled(one, params), text: worded(one.split('/').at(-1) ?? '') })),
  ];
}

function collectionsOf(site: Site, { path }: Place, state: PipelineState) {
  return site
    .paths()
    .filter((one) => /^\/api\/v\d+\/[^{]*$/.test(one))
    .flatMap((one) => {
      const method = site.get(one);
      if (method === undefined || !passes(method, state)) return [];
      return [
        {
          href: one,
          text: worded(one.replace(/^\/api\/v\d+\//, '').replaceAll('/', ': ')),
          isCurrent: one === path,
        },
      ];
    });
}

/** The parameters of a list, with their present values. */
function filtersOf(method: Method | undefined, query: URLSearchParams) {
  const schema = method?.requestHandler.declaration.query as FieldSchema | undefined;
  const properties = Object.entries(schema?.properties ?? {})
    .filter(([name]) => name !== 'key')
    .map(([name, one]): [string, FieldSchema] => [
      name,
      one.type === 'array' && one.items !== undefined ? one.items : one,
    ]);
  const value = Object.fromEntries(properties.map(([name]) => [name, query.get(name) ?? undefined]));
  const place = { form: 'filter', path: [], isRequired: true, value };
  return { fields: fieldsOf({ ...schema, properties: Object.fromEntries(properties) }, place) };
}

const pageNames = [
  ['first', 'First page'],
  ['prev', 'Previous page'],
  ['next', 'Next page'],
] as const;

function pagesOf(header: string | undefined, publicUrl: string): Page['pages'] {
  const links = linksOf(header);
  return pageNames.flatMap(([rel, text]) => {
    const href = links.get(rel);
    return href?.startsWith(`${publicUrl}/`) === true
      ? [{ rel, text, href: href.slice(publicUrl.length) }]
      : [];
  });
}

function taskOf(value: unknown): string | undefined {
  const { status } = (value ?? {}) as { status?: { taskId?: unknown } };
  return typeof status?.taskId === 'string' ? `/api/v2/tasks/${status.taskId}` : undefined;
}

function errorOf({ code, message, errors = [], blockedBy }: ErrorBody, publicUrl: string): Page['error'] {
  return {
    ...{ code, message },
    errors: errors.map((one) => ({ place: one.pointer ?? one.parameter, message: one.message })),
    blockedBy: blockedBy?.replace(publicUrl, ''),
  };
}

function isError(value: unknown, status: number): value is ErrorBody {
  return (
    status >= 400 && typeof value === 'object' && value !== null && 'code' in value && 'requestId' in value
  );
}

function headingOf(site: Site, { pattern, path }: Place, value: unknown): string {
  const summary = site.get(pattern)?.requestHandler.declaration.summary;
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return summary ?? path;
  return nameOf(value) ?? summary ?? path;
}

function pageOf(site: Site, ctx: Context, { status, headers, body }: Answer, publicUrl: string): Page {
  const state = ctx.state as PipelineState;
  const params = (ctx['params'] ?? {}) as Record<string, string>;
  const place: Place = { path: ctx.path, pattern: state.routePattern ?? '', params, publicUrl };
  const value: unknown =
    typeof body === 'string' || Buffer.isBuffer(body) ? JSON.parse(body.toString()) : null;
  const failed = isError(value, status);
  const heading = failed ? worded(value.code) : headingOf(site, place, value);
  const reading = ctx.method === 'GET' || ctx.method === 'HEAD';
  const collections = collectionsOf(site, place, state);
  return {
    title: heading,
    heading: heading.charAt(0).toUpperCase() + heading.slice(1),
    ...{ method: ctx.method, target: ctx.url, path: ctx.path, status, collections },
    user: state.ofSession === true ? state.user : undefined,
    tag: headers['ETag'],
    requestId: failed ? value.requestId : undefined,
    task: taskOf(value),
    error: failed ? errorOf(value, publicUrl) : undefined,
    signIn: status === 401,
    isStart: place.pattern === '',
    filters:
      failed && status !== 400 ? { fields: [] } : filtersOf(site.get(place.pattern), ctx.URL.searchParams),
    pages: pagesOf(headers['Link'], publicUrl),
    content: failed ? '' : contentOf(value, addressesIn(site, place)),
    related: failed ? [] : relatedOf(site, place, state),
    forms: failed || !reading ? [] : formsOf(site, place, state, value, headers['ETag']),
  };
}

/** Writes the pages of these routes. */
export function pageWriter(routes: readonly Route[], publicUrl: () => string): PageWriter {
  let site: Site | undefined;
  return {
    headers: pageHeaders,
    write: (ctx, answer) => pages.render(pageOf((site ??= new Site(routes)), ctx, answer, publicUrl())),
  };
}

/** GET /page/{file} */
export const getPageAsset = defineHandler(
  {
    operationId: 'getPageAsset',
    summary: 'A style or script of the pages',
    tags: ['service'],
    params: Type.Object({ file: Type.String({ maxLength: 100 }) }, { additionalProperties: false }),
    responses: { 200: { description: 'The file.', mediaType: '*/*' } },
  },
  {
    parse: ({ params }) => params.file,
    execute: (_connector, name) => {
      const file = pages.assets.get(name);
      if (file === undefined) throw notFound();
      return {
        result: new RawBody(file.mediaType, file.content),
        metadata: { cacheControl: 'public, max-age=3600' },
      };
    },
  },
);
