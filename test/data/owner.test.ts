import { expect } from 'chai';
import { isDeadOwner, ownerName } from '../../src/data/owner.js';
import { deadOwner, distantOwner } from '../support/rows.js';

describe('the owner of a task', () => {
  it('is not dead while its process lives', () => {
    expect(isDeadOwner(ownerName())).to.be.false;
    expect(ownerName()).to.equal(ownerName());
  });

  it('is dead when its process has ended', () => {
    expect(isDeadOwner(deadOwner())).to.be.true;
  });

  it('is dead when another process has got its number since', () => {
    const reused = JSON.stringify({ ...(JSON.parse(ownerName()) as object), start: '1' });
    expect(isDeadOwner(reused)).to.be.true;
  });

  it('is not called dead without certainty: from another machine, another boot, or unreadable', () => {
    for (const owner of [distantOwner(), '', 'nonsense', '{}', 'null', '[]'])
      expect(isDeadOwner(owner), owner).to.be.false;
  });
});
