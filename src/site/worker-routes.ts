/**
 * The calls that a worker serves to the API processes of its site (region/remote/protocol.ts), as routes of the
 * pipeline.
 */
import { Type } from 'typebox';
import { ApiError } from '../model/error.js';
import type { Tracer } from '../model/trace.js';
import type { ConsolePart } from '../model/console.js';
import { RegionError, type RegionPrincipal, type RegionProvider } from '../region/provider.js';
import { type Call, calls, refusals } from '../region/remote/protocol.js';
import { NoAuthAuthenticator, RequireUserAuthenticator } from '../route/pipeline/authenticator.js';
import { requestHandler } from '../route/pipeline/handler.js';
import type { ResponseData } from '../route/pipeline/response.js';
import type { RouteManager } from '../route/pipeline/route-manager.js';

/** The regions that this process drives, by id. */
export type DrivenRegions = ReadonlyMap<string, RegionProvider>;

export interface WorkerRoutesOptions {
  tracer: Tracer;
  /** Why the store is unavailable; undefined while it is available. */
  storeTrouble?: (() => string | undefined) | undefined;
}

const defineHandler = requestHandler<DrivenRegions>();

export function workerRoutes(options: WorkerRoutesOptions): RouteManager<DrivenRegions>[] {
  return [healthRoute(options), ...calls.map((call) => callRoute(call, options))];
}

/** GET /health */
function healthRoute({ storeTrouble }: WorkerRoutesOptions): RouteManager<DrivenRegions> {
  const health = defineHandler(
    {
      operationId: 'getWorkerHealth',
      summary: 'Health of the worker',
      tags: ['worker'],
      responses: {
        200: { description: 'The server is ready.' },
        503: { description: 'The store is unavailable.' },
      },
    },
    {
      parse: () => undefined,
      execute: () => {
        const message = storeTrouble?.();
        return message === undefined
          ? { result: { status: 'pass' } }
          : { result: { status: 'fail', message }, metadata: { status: 503, retryAfter: 2 } };
      },
    },
  );
  return {
    route: '/health',
    methods: [{ methodType: 'GET', authenticator: new NoAuthAuthenticator(), requestHandler: health }],
  };
}

/** POST /regions/{regionID}/{call} */
function callRoute(call: Call, { tracer }: WorkerRoutesOptions): RouteManager<DrivenRegions> {
  const handler = defineHandler(
    {
      operationId: call,
      summary: `${call} of a region`,
      tags: ['worker'],
      params: Type.Object({ regionID: Type.String() }),
      body: Type.Object({ args: Type.Array(Type.Unknown()) }),
      responses: { 200: { description: 'The result.' }, 409: { description: 'The failure of the region.' } },
    },
    {
      parse: ({ params, body, context: { signal, traceparent } }) => ({
        regionId: params.regionID,
        args: body.args,
        signal,
        traceparent,
      }),
      execute: (regions, { regionId, args, signal, traceparent }) => {
        const provider = regions.get(regionId);
        if (provider === undefined)
          throw new ApiError('not_found', 'This worker does not drive that region.');
        return spanned(tracer, `region ${call}`, traceparent, () => ask(provider, call, args, signal));
      },
    },
  );
  return {
    route: `/regions/{regionID}/${call}`,
    methods: [{ methodType: 'POST', authenticator: new RequireUserAuthenticator(), requestHandler: handler }],
  };
}

/** The work as part of the API process's trace. A failure of the region is a normal response. */
async function spanned(
  tracer: Tracer,
  name: string,
  traceparent: string | undefined,
  work: () => Promise<unknown>,
): Promise<ResponseData> {
  const span = tracer.start(name, 'server', traceparent);
  try {
    const result = await work();
    span.end({ failed: false });
    return { result };
  } catch (error) {
    const { kind, message } = error instanceof RegionError ? error : { kind: undefined, message: '' };
    // As with requests, a refusal is a normal response.
    span.end({ failed: kind === undefined || !refusals.includes(kind) });
    if (kind === undefined) throw error;
    return { result: { kind, message }, metadata: { status: 409 } };
  }
}

function ask(
  provider: RegionProvider,
  call: Call,
  [first, second]: readonly unknown[],
  signal: AbortSignal,
): Promise<unknown> {
  switch (call) {
    case 'listFlavors':
      return provider.listFlavors(first as RegionPrincipal, signal);
    case 'listImages':
      return provider.listImages(first as RegionPrincipal, signal);
    case 'describeServers':
      return provider.describeServers((first as string[] | null) ?? undefined, signal);
    case 'consoleOutput':
      return provider.consoleOutput(String(first), second as ConsolePart, signal);
  }
}
