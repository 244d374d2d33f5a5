import { expect } from 'chai';
import { ApiError } from '../../../src/model/error.js';
import { errorBody } from '../../../src/route/pipeline/error-response.js';
import { type ErrorAnswer } from '../../support/conform.js';
import { startServer, type TestServer } from '../../support/server.js';

describe('the body of an error', () => {
  it('has code, message, request id and whether a repeat makes sense, and nothing else without need', () => {
    expect(errorBody(new ApiError('conflict', 'Changed.'), 'r-1', 'http://h')).to.deep.equal({
      code: 'conflict',
      message: 'Changed.',
      requestId: 'r-1',
      retryable: true,
    });
  });

  it('says the public messages of the whole chain of causes', () => {
    const cause = new Error('driver', { cause: new ApiError('unavailable', 'the store is away') });
    const error = new ApiError('conflict', 'cannot create it', { cause });
    expect(errorBody(error, 'r', '').message).to.equal('cannot create it: the store is away');
  });

  it('has the faults, and the absolute address of the task in the way', () => {
    const error = new ApiError('instance_busy', 'Busy.', {
      errors: [{ pointer: '/a', message: 'b' }],
      blockedBy: '/api/v2/tasks/1',
      cause: new Error('internal'),
    });
    expect(errorBody(error, 'r', 'http://h')).to.deep.equal({
      code: 'instance_busy',
      message: 'Busy.',
      requestId: 'r',
      retryable: true,
      errors: [{ pointer: '/a', message: 'b' }],
      blockedBy: 'http://h/api/v2/tasks/1',
    });
  });
});

describe('an error answer', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('is never cached and carries the code also in a header, for HEAD too', async () => {
    const path = '/api/v2/instances/0193a5c0-0000-7000-8000-000000000001';
    const reply = await server.admin.refused('not_found', 'GET', path);
    expect(reply.headers.get('cache-control')).to.equal('no-store');
    const head = await server.admin.call('HEAD', path);
    expect(head.status).to.equal(404);
    expect(head.text).to.equal('');
    expect(head.headers.get('x-error-code')).to.equal('not_found');
  });

  it('is a problem document (RFC 9457) for a client that prefers one', async () => {
    const headers = { Accept: 'application/problem+json' };
    const reply = await server.admin.get<Record<string, unknown>>('/api/v2/instances?limt=1', { headers });
    expect(reply.headers.get('content-type')).to.match(/^application\/problem\+json/);
    expect(reply.body['title']).to.match(/^invalid parameter$/i);
    expect(reply.body).to.deep.include({
      type: `${server.url}/docs/errors#invalid_parameter`,
      status: 400,
      detail: 'limt: "limt" is not known. Did you mean "limit"?',
      code: 'invalid_parameter',
      requestId: reply.headers.get('x-request-id'),
      retryable: false,
      errors: [{ parameter: 'limt', message: '"limt" is not known. Did you mean "limit"?' }],
    });
  });

  it('is plain JSON for every other client, whatever it accepts', async () => {
    for (const accept of [
      '*/*',
      'application/json',
      'image/png',
      'application/json, application/problem+json;q=0.5',
      'nonsense',
      '',
    ]) {
      const reply = await server.admin.get<ErrorAnswer>('/nothing', { headers: { Accept: accept } });
      expect(reply.headers.get('content-type'), accept).to.match(/^application\/json/);
      expect(reply.body.code).to.equal('not_found');
    }
  });
});
