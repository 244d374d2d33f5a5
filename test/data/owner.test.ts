import { expect } from 'chai';
import { isDeadOwner, ownerName } from '../../src/data/owner.js';
import { whileUnreadable } from '../support/read-faults.js';
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

  for (const code of ['EACCES', 'EIO', 'EMFILE'] as const) {
    it(`is not called dead because the system does not show its process (${code})`, async () => {
      const owners = [ownerName(), deadOwner()];
      await whileUnreadable(
        (path) => path.startsWith('/proc/'),
        code,
        () => {
          for (const owner of owners) expect(isDeadOwner(owner)).to.be.false;
          return Promise.resolve();
        },
      );
      const stat = (path: string): boolean => /^\/proc\/\d+\/stat$/.test(path);
      await whileUnreadable(stat, code, () => {
        expect(owners.map(isDeadOwner)).to.deep.equal([false, true]);
        return Promise.resolve();
      });
    });
  }

  it('is not called dead without certainty: from another machine, another boot, or unreadable', () => {
    for (const owner of [distantOwner(), '', 'nonsense', '{}', 'null', '[]'])
      expect(isDeadOwner(owner), owner).to.be.false;
  });
});
