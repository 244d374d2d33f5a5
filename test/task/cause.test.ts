import { expect } from 'chai';
import { ApiError } from '../../src/model/error.js';
import { type RegionErrorKind, RegionError } from '../../src/region/provider.js';
import { causeOf } from '../../src/task/cause.js';

describe('the cause of a failed task', () => {
  const kinds: [RegionErrorKind, string, boolean][] = [
    ['not_found', 'not_found', false],
    ['conflict', 'conflict', false],
    ['busy', 'instance_busy', true],
    ['unsupported', 'not_implemented', false],
    ['transient', 'unavailable', true],
    ['terminal', 'unprocessable', false],
  ];
  for (const [kind, code, retryable] of kinds) {
    it(`is ${code}${retryable ? ', worth a retry,' : ''} when the region says "${kind}", in the region’s public words`, () => {
      const error = new RegionError(kind, 'Public words.', { cause: new Error('secret') });
      expect(causeOf(error, 'instance')).to.deep.equal({ code, message: 'Public words.', retryable });
    });
  }

  it('does not speak of an instance when a region is busy with a task on none', () => {
    const error = new RegionError('busy', 'Too much to do.');
    expect(causeOf(error, undefined)).to.include({ code: 'unavailable', retryable: true });
  });

  it('is that of an API error', () => {
    expect(causeOf(new ApiError('conflict', 'Changed.'), 'instance')).to.deep.equal({
      code: 'conflict',
      message: 'Changed.',
      retryable: true,
    });
  });

  it('says nothing of an unexpected fault, and has it tried again', () => {
    for (const thrown of [new TypeError('secret'), 'secret', undefined]) {
      const cause = causeOf(thrown, 'instance');
      expect(cause).to.include({ code: 'internal', retryable: true });
      expect(cause.message).not.to.include('secret');
    }
  });
});
