import { expect } from 'chai';
import fc from 'fast-check';
import { Type } from 'typebox';
import { ApiError } from '../../../src/model/error.js';
import { bodyValidator, parameterValidator } from '../../../src/route/pipeline/validation.js';

const closed = { additionalProperties: false };
const parameters = parameterValidator(
  Type.Object(
    {
      count: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
      hard: Type.Optional(Type.Boolean()),
      name: Type.Optional(Type.String({ minLength: 1 })),
      kind: Type.Optional(Type.Array(Type.Union([Type.Literal('red'), Type.Literal('green')]))),
      size: Type.Optional(Type.Array(Type.Integer())),
    },
    closed,
  ),
);

function read(query: string): Record<string, unknown> {
  return { ...parameters(new URLSearchParams(query)) };
}

function refusal(work: () => unknown): ApiError {
  try {
    work();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe('the check of parameters', () => {
  it('gives each the type that its schema declares', () => {
    expect(read('count=7&hard=true&name=7&kind=red&kind=green&size=1&size=-2')).to.deep.equal({
      count: 7,
      hard: true,
      name: '7',
      kind: ['red', 'green'],
      size: [1, -2],
    });
    expect(read('hard=false&kind=red')).to.deep.equal({ hard: false, kind: ['red'] });
    expect(read('')).to.deep.equal({});
  });

  it('takes an integer only as digits', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.stringMatching(/^[-+ 0-9.eExX_]{0,6}$/),
          fc.integer({ min: -5, max: 1005 }).map(String),
        ),
        (text) => {
          const query = `count=${encodeURIComponent(text)}`;
          const plain = /^\+?\d{1,15}$/.test(text) && Number(text) >= 1 && Number(text) <= 1000;
          if (plain) expect(read(query)).to.deep.equal({ count: Number(text) });
          else expect(refusal(() => read(query)).errors?.[0]?.parameter).to.equal('count');
        },
      ),
    );
  });

  it('names what is wrong: the parameter, the fault and what would be taken', () => {
    const cases: [string, string, string][] = [
      ['count=0', 'count', '>= 1'],
      ['count=1001', 'count', '<= 1000'],
      ['count=x', 'count', 'integer'],
      ['hard=yes', 'hard', 'boolean'],
      ['name=', 'name', 'fewer than 1'],
      ['kind=blue', 'kind', 'red, green'],
      ['count=1&count=1', 'count', 'more than once'],
      ['hrad=true', 'hrad', 'Did you mean "hard"?'],
      ['completelyDifferent=1', 'completelyDifferent', 'Expected one of count, hard, name, kind, size'],
    ];
    for (const [query, parameter, text] of cases) {
      const { code, errors, message } = refusal(() => read(query));
      expect(code).to.equal('invalid_parameter');
      expect(errors?.[0]?.parameter, query).to.equal(parameter);
      expect(message, query).to.include(text);
    }
  });

  it('never lets a parameter through that is not declared, whatever its name', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ minLength: 1 }),
          fc.constantFrom('__proto__', 'constructor', 'valueOf', 'Count'),
        ),
        fc.string(),
        (name, text) => {
          fc.pre(!['count', 'hard', 'name', 'kind', 'size'].includes(name));
          expect(refusal(() => parameters([[name, text]])).code).to.equal('invalid_parameter');
        },
      ),
    );
  });
});

describe('the check of a body', () => {
  const check = bodyValidator(
    Type.Object(
      {
        kind: Type.Union([Type.Literal('red'), Type.Literal('green')]),
        'a/b': Type.Optional(Type.Object({ 'c~d': Type.Integer() }, closed)),
        list: Type.Optional(
          Type.Array(
            Type.Object(
              { name: Type.String({ pattern: '^[a-z]+$', description: 'Small letters.' }) },
              closed,
            ),
          ),
        ),
      },
      closed,
    ),
  );

  it('passes what is right', () => {
    check({ kind: 'red', 'a/b': { 'c~d': 1 }, list: [{ name: 'abc' }] });
  });

  it('points at each fault by JSON pointer (RFC 6901)', () => {
    const { errors } = refusal(() =>
      check({ kind: 'blue', 'a/b': { 'c~d': 'x', extra: 1 }, list: [{ name: 'ok' }, { name: 'X' }, {}] }),
    );
    expect(errors?.map((error) => error.pointer)).to.have.members([
      '/kind',
      '/a~1b/c~0d',
      '/a~1b/extra',
      '/list/1/name',
      '/list/2/name',
    ]);
  });

  it('says of a pattern what it means, and of a choice what it offers', () => {
    expect(refusal(() => check({ kind: 'red', list: [{ name: 'X' }] })).message).to.equal(
      '/list/0/name: Not a valid value. Small letters.',
    );
    expect(refusal(() => check({ kind: 'blue' })).message).to.equal('/kind: Expected one of red, green.');
  });

  it('never fails otherwise than with invalid_body, whatever the value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(refusal(() => check(value)).code).to.equal('invalid_body');
      }),
    );
  });

  it('lists at most 20 faults', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`extra${index}`, 1]));
    expect(refusal(() => check({ kind: 'red', ...many })).errors).to.have.length(20);
  });
});
