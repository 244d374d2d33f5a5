import { expect } from 'chai';
import fc from 'fast-check';
import { ApiError } from '../../../src/model/error.js';
import { CursorCodec, type PageKey } from '../../../src/route/pipeline/cursor.js';

const codec = new CursorCodec(Buffer.alloc(32, 7));
const binding = '/api/v2/instances?tag=a%3Db';
const alphabet = [
  ...Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'),
  '=',
  '+',
  '/',
  ' ',
  '%',
  'ä',
  '\n',
];

const pageKey: fc.Arbitrary<PageKey> = fc.record({
  position: fc
    .tuple(
      fc.array(fc.oneof(fc.string({ maxLength: 40 }), fc.integer(), fc.constant(null)), { maxLength: 3 }),
      fc.uuid(),
    )
    .map(([columns, id]) => [...columns, id]),
  backward: fc.boolean(),
  inclusive: fc.boolean(),
});

function refusal(work: () => unknown): ApiError {
  try {
    work();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('the key was taken');
}

describe('a page key', () => {
  it('comes back as it was, from text that a URL can hold unescaped', () => {
    fc.assert(
      fc.property(pageKey, (key) => {
        const text = codec.encode(key, binding);
        expect(text).to.match(/^[A-Za-z0-9_.-]+$/);
        expect(codec.decode(text, binding)).to.deep.equal(key);
      }),
    );
  });

  it('is refused after the change of any one character', () => {
    fc.assert(
      fc.property(pageKey, fc.nat(), fc.constantFrom(...alphabet), (key, place, character) => {
        const text = codec.encode(key, binding);
        const index = place % text.length;
        fc.pre(text[index] !== character);
        const changed = text.slice(0, index) + character + text.slice(index + 1);
        expect(refusal(() => codec.decode(changed, binding)).code).to.equal('invalid_cursor');
      }),
      { numRuns: 500 },
    );
  });

  it('is refused with any other last character, whose spare bits mean nothing', () => {
    const text = codec.encode({ position: ['0193a5c0-0000-7000-8000-000000000001'] }, binding);
    for (const character of alphabet.filter((one) => one !== text.at(-1))) {
      const changed = text.slice(0, -1) + character;
      expect(refusal(() => codec.decode(changed, binding)).code, character).to.equal('invalid_cursor');
    }
  });

  it('is refused when characters are missing, added or swapped', () => {
    const text = codec.encode({ position: ['0193a5c0-0000-7000-8000-000000000001'] }, binding);
    const [payload = '', signature = ''] = text.split('.');
    const damaged = [
      '',
      '.',
      payload,
      `${payload}.`,
      `.${signature}`,
      `${signature}.${payload}`,
      `${text}A`,
      `A${text}`,
      text.slice(1),
      text.slice(0, -1),
      `${text}.${signature}`,
      text.toUpperCase(),
      `${text}\n`,
      ' '.repeat(40),
    ];
    for (const one of damaged)
      expect(refusal(() => codec.decode(one, binding)).code, one).to.equal('invalid_cursor');
  });

  it('is refused for another list, for other filters and by another store', () => {
    const text = codec.encode({ position: ['0193a5c0-0000-7000-8000-000000000001'] }, binding);
    for (const other of [
      '/api/v2/tasks?tag=a%3Db',
      '/api/v2/instances?',
      '/api/v2/instances?tag=a%3Dc',
      '',
    ]) {
      expect(refusal(() => codec.decode(text, other)).code, other).to.equal('invalid_cursor');
    }
    const elsewhere = new CursorCodec(Buffer.alloc(32, 8));
    expect(refusal(() => elsewhere.decode(text, binding)).code).to.equal('invalid_cursor');
  });
});
