/** The prefetches of this API, on a real store. */
import { expect } from 'chai';
import { Type } from 'typebox';
import { ApiError } from '../../src/model/error.js';
import { NoAuthAuthenticator } from '../../src/route/pipeline/authenticator.js';
import type { RequestContext } from '../../src/route/pipeline/context.js';
import { projectOfInstance } from '../../src/route/instance-access.js';
import { projectInPath } from '../../src/route/prefetch.js';
import { defineHandler, type Route } from '../../src/route/route.js';
import { projectOfTask } from '../../src/route/task.js';
import { Api } from '../support/conform.js';
import { absentId } from '../support/fuzz-seed.js';
import { startServer, type TestServer } from '../support/server.js';

const prefetches = { instanceID: projectOfInstance, taskID: projectOfTask, projectID: projectInPath };
const parameters = ['instanceID', 'taskID', 'projectID'] as const;

describe('prefetchProjectContext', () => {
  let server: TestServer;
  let leaving: ApiError | undefined;

  /** Hands the prefetch the signal of a request that has ended, where a test says so. */
  const route = (parameter: (typeof parameters)[number]): Route => ({
    version: 2,
    route: `/${parameter.toLowerCase()}/{${parameter}}`,
    methods: [
      {
        methodType: 'GET',
        authenticator: new NoAuthAuthenticator(),
        prefetchFunctions: [
          (context, connector, params) => {
            const value = leaving === undefined ? context.interruption : AbortSignal.abort(leaving);
            const ended = Object.create(context, { interruption: { value } }) as RequestContext;
            return prefetches[parameter](ended, connector, params);
          },
        ],
        requestHandler: defineHandler(
          {
            operationId: `prefetch_${parameter}`,
            summary: 'Says whether there is a project.',
            tags: ['test'],
            params: Type.Object({ [parameter]: Type.String() }),
            responses: { 204: { description: 'Done.' } },
            errors: ['request_timeout'],
          },
          { parse: () => undefined, execute: () => ({}) },
        ),
      },
    ],
  });

  before(async () => {
    server = await startServer({ extraRoutes: parameters.map(route) });
  });
  after(() => server.stop());

  for (const parameter of parameters) {
    it(`ends its read of the store with its request: ${parameter}`, async () => {
      const api = new Api(server.url);
      const path = `/api/v2/${parameter.toLowerCase()}/${absentId}`;
      leaving = undefined;
      expect((await api.get(path)).status).to.equal(204);
      leaving = new ApiError('request_timeout', 'The client disconnected.');
      await api.refused('request_timeout', 'GET', path);
    });
  }
});
