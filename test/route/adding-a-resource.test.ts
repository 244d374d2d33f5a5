/** docs/adding-a-resource.md, followed literally: the example is built beside the program, and the page's own test is run. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/config.js';
import { compile, followPage } from '../support/follow-page.js';

describe('docs/adding-a-resource.md', function () {
  this.timeout(120_000);

  it('works when it is followed literally', () => {
    const folder = followPage('adding-a-resource', { saved: 4, added: 2 });
    expect(compile(folder)).to.equal('');
    const mocha = join(packageRoot(), 'node_modules/mocha/bin/mocha.js');
    const test = join(folder, 'out/test/route/note.test.js');
    const run = spawnSync(process.execPath, [mocha, test], { cwd: packageRoot(), encoding: 'utf8' });
    expect(run.status, run.stdout + run.stderr).to.equal(0);
    expect(run.stdout).to.include('1 passing');
  });
});
