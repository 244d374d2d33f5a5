/** Each exported name of the model's route package has its row in docs/pipeline.md, and what the row names exists. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../src/config.js';

const read = (...path: string[]) => readFileSync(join(packageRoot(), ...path), 'utf8');

/** The rows of the first table under a heading, without its head. */
function tableUnder(heading: string): string[][] {
  const [, section = ''] = read('docs', 'pipeline.md').split(`\n## ${heading}\n`);
  const lines = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe('docs/pipeline.md', () => {
  const names = tableUnder('Names');

  it('has a row for each exported name of the model', () => {
    const fixture = read('test', 'fixtures', 'evergreen-route-names.txt').trim().split('\n');
    expect(fixture).to.have.length.above(30);
    const models = names.map(([model = '']) => model);
    for (const name of fixture) {
      const [type = '', member] = name.split('.');
      const found = models.some((model) => {
        if (model.includes(`\`${name}\``)) return true;
        const isType = model.includes(`\`${type}\``) || model.includes(`\`${type}(`);
        return isType && (member === undefined || new RegExp(`[{ ]${member}[,}]`).test(model));
      });
      expect(found, name).to.be.true;
    }
  });

  it('names only what the code exports, in the file that it says', () => {
    for (const [model = '', here = '', place = ''] of names) {
      const file = place.replaceAll('`', '');
      const source = read('src', ...(file.startsWith('route/') ? [file] : ['route', 'pipeline', file]));
      const told = here.startsWith('the same') ? `${model}, ${here}` : here;
      for (const [, name = ''] of told.matchAll(/`([A-Za-z]+)[^`]*`/g)) {
        const [type = ''] = name.split('.');
        const first = here.includes('in lower case') ? type.charAt(0).toLowerCase() + type.slice(1) : type;
        if (type === 'orders') continue;
        expect(source, `${first} in ${file}`).to.match(new RegExp(`export [^\\n]*\\b${first}\\b`));
      }
    }
  });

  it('gives a reason for each difference', () => {
    const differences = tableUnder('Differences from the model, and why');
    expect(differences).to.have.length.above(25);
    for (const cells of differences) {
      expect(cells, cells[0]).to.have.length(3);
      for (const cell of cells) expect(cell, cells[0]).not.to.equal('');
    }
  });
});
