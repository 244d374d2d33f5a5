import { expect } from 'chai';
import fc from 'fast-check';
import { linksOf } from '../../src/model/link-header.js';

const next = 'http://a.example/x?key=1&limit=2';
const prev = 'http://a.example/x?key=0';

describe('linksOf', () => {
  const forms: [string, string | string[]][] = [
    ['commas', `<${next}>; rel="next", <${prev}>; rel="prev"`],
    ['several headers', [`<${next}>; rel="next"`, `<${prev}>; rel="prev"`]],
    ['unquoted relations and no spaces', `<${next}>;rel=next,<${prev}>;rel=prev`],
    ['spaces everywhere', `  < ${next} > ;  rel = "next"  ,  <${prev}> ; rel = prev  `],
    ['upper case', `<${next}>; REL="NEXT", <${prev}>; Rel=Prev`],
    [
      'other parameters',
      `<${next}>; title="a, <b>; rel=\\"x\\""; rel="next"; foo, <${prev}>; type=x; rel="prev"`,
    ],
    [
      'a line feed in place of a comma, as Evergreen wrote it',
      `<${next}>; rel="next"\n<${prev}>; rel="prev"`,
    ],
    ['a space in place of a comma, as Go’s server sent that', `<${next}>; rel="next" <${prev}>; rel="prev"`],
    [
      'unknown relations',
      `<http://b.example/>; rel="https://example.com/own", <${next}>; rel="next", <${prev}>; rel=prev`,
    ],
    ['two relations in one', `<${next}>; rel="next last", <${prev}>; rel="start prev"`],
  ];
  for (const [name, header] of forms) {
    it(`reads ${name}`, () => {
      const links = linksOf(header);
      expect(links.get('next')).to.equal(next);
      expect(links.get('prev')).to.equal(prev);
    });
  }

  it('reads headers far beyond the length at which parse-link-header gives up', () => {
    const long = `${next}&filter=${'x'.repeat(10_000)}`;
    expect(linksOf(`<${long}>; rel="next"`).get('next')).to.equal(long);
  });

  it('takes the first of two links with one relation, and a relative target as it is', () => {
    expect(linksOf('</x?key=1>; rel=next, </x?key=2>; rel=next').get('next')).to.equal('/x?key=1');
  });

  it('finds nothing in what is no link, and never throws', () => {
    for (const header of [
      undefined,
      null,
      '',
      'garbage',
      '<x>',
      '<x>; title="next"',
      '<x>; rel=""',
      '; rel="next"',
    ]) {
      expect([...linksOf(header).keys()], String(header)).to.deep.equal([]);
    }
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('<', '>', ';', ',', '"', '\\', '=', ' ', 'r', 'e', 'l', 'n') }),
        (text) => {
          linksOf(text);
        },
      ),
    );
  });
});
