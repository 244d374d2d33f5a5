import { expect } from 'chai';
import { ApiError, type ErrorCode, errorCodes, notFound, toApiError } from '../../src/model/error.js';

describe('an API error', () => {
  it('has exactly one status for each code, from 400 on, and a meaning', () => {
    for (const [code, { status, meaning }] of Object.entries(errorCodes)) {
      expect(code).to.match(/^[a-z]+(_[a-z]+)*$/);
      expect(status, code).to.be.within(400, 599);
      expect(meaning, code).to.match(/\.$/);
      expect(new ApiError(code as ErrorCode, 'x').status).to.equal(status);
    }
  });

  it('says the public messages of its chain, joined, and leaves foreign causes out', () => {
    const driver = new Error('password=hunter2 at /etc/passwd');
    const inner = new ApiError('unavailable', 'the store is away', { cause: driver });
    const between = new Error('internal wrapper', { cause: inner });
    const outer = new ApiError('conflict', 'cannot create the instance', { cause: between });
    expect(outer.publicMessage).to.equal('cannot create the instance: the store is away');
    expect(new ApiError('conflict', 'alone', { cause: driver }).publicMessage).to.equal('alone');
  });

  it('ends also where causes go in a circle', () => {
    const one = new ApiError('conflict', 'one');
    const two = new ApiError('conflict', 'two', { cause: one });
    Object.defineProperty(one, 'cause', { value: two });
    expect(one.publicMessage).to.equal('one: two');
    const plain = new Error('plain');
    Object.defineProperty(plain, 'cause', { value: plain });
    expect(toApiError(plain).code).to.equal('internal');
  });

  it('is found below foreign wrappers', () => {
    const known = new ApiError('name_taken', 'taken');
    expect(toApiError(known)).to.equal(known);
    expect(toApiError(new Error('a', { cause: new TypeError('b', { cause: known }) }))).to.equal(known);
  });

  it('is internal for everything unknown, and shows nothing of it', () => {
    for (const thrown of [
      new TypeError('secret'),
      'secret',
      undefined,
      null,
      42,
      { message: 'secret' },
      new Error('secret', { cause: 'secret' }),
    ]) {
      const error = toApiError(thrown);
      expect(error.code).to.equal('internal');
      expect(error.publicMessage).not.to.include('secret');
      expect(error.cause).to.equal(thrown);
    }
  });

  it('is internal for a code that is not in the table, and shows nothing of it', () => {
    for (const code of ['no_such_code', 'toString', '__proto__', '']) {
      const wrong = new ApiError(code as ErrorCode, 'secret');
      for (const thrown of [wrong, new Error('outer', { cause: wrong })]) {
        const error = toApiError(thrown);
        expect([error.code, error.status], code).to.deep.equal(['internal', 500]);
        expect(error.publicMessage).not.to.include('secret');
      }
    }
  });

  it('for absence has constant words, whatever the cause', () => {
    expect(notFound(new Error('row 17')).publicMessage).to.equal(notFound().publicMessage);
    expect(notFound()).to.include({ code: 'not_found', status: 404, retryable: false });
  });
});
