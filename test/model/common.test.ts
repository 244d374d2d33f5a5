import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import fc from 'fast-check';
import { Name, namePattern, timestamp } from '../../src/model/common.js';

const label = new RegExp(namePattern);

/** RFC 1123 and 1035 in other words than the pattern. */
function isLabel(text: string): boolean {
  const allowed = Array.from(text).every((one) => 'abcdefghijklmnopqrstuvwxyz0123456789-'.includes(one));
  return text.length >= 1 && text.length <= 63 && allowed && !text.startsWith('-') && !text.endsWith('-');
}

describe('a name', () => {
  const schema = new Ajv2020().compile(Name);
  const nearly = fc.oneof(
    fc.stringMatching(/^[-a-z0-9]{0,66}$/),
    fc.string({ maxLength: 8 }),
    fc.string({ unit: 'grapheme', maxLength: 3 }),
    fc.constantFrom(
      'a\n',
      '\na',
      'a-',
      '-',
      '--',
      '0',
      'a--b',
      'xn--a',
      'A',
      'é',
      '',
      'a'.repeat(63),
      'a'.repeat(64),
    ),
  );

  it('is a DNS label: what host names, folders and shells take without quoting', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        expect(label.test(text), JSON.stringify(text)).to.equal(isLabel(text));
        expect(schema(text), JSON.stringify(text)).to.equal(isLabel(text));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a timestamp', () => {
  it('is RFC 3339 in UTC with milliseconds, so that texts sort as times do', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }),
        fc.nat({ max: 1e9 }),
        (date, later) => {
          expect(timestamp(date)).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
          expect(timestamp(new Date(date.getTime() + later)) >= timestamp(date)).to.be.true;
        },
      ),
    );
  });
});
