import { expect } from 'chai';
import fc from 'fast-check';
import { stableId, stableMac } from '../../src/region/stable-id.js';

describe('stable ids', () => {
  it('are UUIDv8 of the RFC 9562 variant', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (parts) => {
        expect(stableId(...parts)).to.match(
          /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        );
      }),
    );
  });

  it('stay what they were in earlier releases', () => {
    expect(stableId('region', 'flavor', 'tiny')).to.equal('f9c60528-e7ed-8b35-b9bd-2dd1e3e19cf8');
    expect(stableMac('018f0000-0000-7000-8000-000000000001')).to.equal('52:54:00:d6:04:c6');
  });

  it('differ when the parts are cut differently', () => {
    expect(stableId('a', 'bc')).to.not.equal(stableId('ab', 'c'));
    expect(stableId('a,b')).to.not.equal(stableId('a', 'b'));
  });
});
