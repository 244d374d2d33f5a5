import { expect } from 'chai';
import fc from 'fast-check';
import { partOf } from '../../src/model/console.js';

const characters = ['a', 'line\n', '\n', 'ä', '€', '😀'];
const text = fc.array(fc.constantFrom(...characters), { maxLength: 40 }).map((all) => all.join(''));

describe('parts of a console', () => {
  it('have as many lines as a split finds', () => {
    fc.assert(
      fc.property(text, fc.nat(8), (whole, count) => {
        const bytes = Buffer.from(whole);
        const expected =
          count === 0
            ? ''
            : whole
                .split(/(?<=\n)/)
                .slice(-count)
                .join('');
        const { contents, start, next } = partOf(bytes, 7, count);
        expect(contents).to.equal(expected);
        expect(next).to.equal(7 + bytes.length);
        expect(start).to.equal(next - Buffer.byteLength(expected));
      }),
    );
  });

  it('read one after the other, while the guest writes, are everything that it wrote, each character whole', () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat(9)), (whole, steps) => {
        const bytes = Buffer.from(whole);
        let [written, read, seen] = [0, 0, ''];
        for (const step of [...steps, bytes.length]) {
          written = Math.min(bytes.length, written + step);
          const { contents, start, next } = partOf(bytes.subarray(read, written), read);
          expect(contents).not.to.include('\ufffd');
          expect(start).to.equal(read);
          seen += contents;
          read = next;
        }
        expect(seen).to.equal(whole);
      }),
    );
  });
});
