import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/config.js';
import { errorCodes } from '../../src/model/error.js';
import { errorsPage } from '../../src/model/error-page.js';

describe('docs/errors.md', () => {
  const manual = readFileSync(join(packageRoot(), 'docs', 'errors.md'), 'utf8');

  it('is what the table of codes says (npm run docs writes it)', () => {
    expect(manual).to.equal(errorsPage());
  });

  it('has a row for every code', () => {
    const rows = manual.split('\n').filter((line) => line.startsWith('| `'));
    expect(rows).to.have.length(Object.keys(errorCodes).length);
  });
});
