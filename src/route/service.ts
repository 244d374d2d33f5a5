/** What the service reports about itself: version, health and readiness. Model: Unikorn 1.3, InfluxDB 4.1. */
import { Type } from 'typebox';
import { Timestamp } from '../model/common.js';
import { ApiError } from '../model/error.js';
import { RawBody } from './pipeline/response.js';
import { defineHandler } from './route.js';

export interface ServiceState {
  readonly version: string;
  readonly started: Date;
  /** False before startup is complete and from the beginning of the shutdown. */
  ready(): boolean;
  /** Why the store is unavailable; undefined while it is available. */
  storeTrouble?(): string | undefined;
  /** Parts that can be unhealthy independently. */
  checks(): { name: string; status: 'pass' | 'fail'; message: string }[];
  /** The text exposition format of Prometheus. */
  metrics(): Promise<string>;
}

const Version = Type.Object(
  { name: Type.String(), version: Type.String() },
  { title: 'ServiceVersion', additionalProperties: false },
);

const Status = Type.Union([Type.Literal('pass'), Type.Literal('fail')]);

const Health = Type.Object(
  {
    name: Type.String(),
    version: Type.String(),
    status: Status,
    message: Type.String(),
    checks: Type.Array(
      Type.Object(
        { name: Type.String(), status: Status, message: Type.String() },
        { title: 'HealthCheck', additionalProperties: false },
      ),
    ),
  },
  { title: 'Health', additionalProperties: false },
);

const Ready = Type.Object(
  {
    status: Type.Literal('ready'),
    started: Timestamp,
    up: Type.String({ description: 'Time since startup.' }),
  },
  { title: 'Ready', additionalProperties: false },
);

/** GET /api/version */
export const getVersion = (state: ServiceState) =>
  defineHandler(
    {
      operationId: 'getVersion',
      summary: 'Name and version of the server',
      tags: ['service'],
      responses: { 200: { description: 'The version.', schema: Version } },
    },
    { parse: () => undefined, execute: () => ({ result: { name: 'copse', version: state.version } }) },
  );
/** GET /health */
export const getHealth = (state: ServiceState) =>
  defineHandler(
    {
      operationId: 'getHealth',
      summary: 'Health of the server and its parts',
      tags: ['service'],
      responses: {
        200: { description: 'All parts are healthy.', schema: Health },
        503: {
          description: 'A part is not healthy; `checks` says which.',
          schema: Health,
          headers: ['Retry-After'],
        },
      },
    },
    {
      parse: () => undefined,
      execute: () => {
        const checks = state.checks();
        const ill = checks.filter((check) => check.status === 'fail');
        return {
          result: {
            name: 'copse',
            version: state.version,
            status: ill.length === 0 ? 'pass' : 'fail',
            message:
              ill.length === 0
                ? 'ready for requests'
                : ill.map((check) => `${check.name}: ${check.message}`).join('; '),
            checks,
          },
          metadata: {
            cacheControl: 'no-store',
            ...(ill.length === 0 ? {} : { status: 503, retryAfter: 10 }),
          },
        };
      },
    },
  );
/** GET /ready */
export const getReady = (state: ServiceState) =>
  defineHandler(
    {
      operationId: 'getReady',
      summary: 'Whether the server is ready for requests',
      tags: ['service'],
      responses: { 200: { description: 'The server is ready.', schema: Ready } },
    },
    {
      parse: () => undefined,
      execute: () => {
        if (!state.ready()) {
          throw new ApiError('unavailable', 'The server is starting or shutting down.', {
            headers: { 'Retry-After': '1' },
          });
        }
        const trouble = state.storeTrouble?.();
        if (trouble !== undefined)
          throw new ApiError('store_unavailable', trouble, { headers: { 'Retry-After': '2' } });
        const seconds = Math.floor((Date.now() - state.started.getTime()) / 1000);
        return {
          result: { status: 'ready', started: state.started.toISOString(), up: `${seconds}s` },
          metadata: { cacheControl: 'no-store' },
        };
      },
    },
  );
/** GET /metrics */
export const getMetrics = (state: ServiceState) =>
  defineHandler(
    {
      operationId: 'getMetrics',
      summary: 'Counters and histograms for Prometheus, by route pattern',
      tags: ['service'],
      responses: { 200: { description: 'The metrics.', mediaType: 'text/plain' } },
    },
    {
      parse: () => undefined,
      execute: async () => ({
        result: new RawBody('text/plain; version=0.0.4; charset=utf-8', await state.metrics()),
        metadata: { cacheControl: 'no-store' },
      }),
    },
  );
