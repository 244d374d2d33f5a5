/** What failures of a MongoDB server mean: 503 for whatever the server cannot do now, 500 only for faults of the program. */
import { expect } from 'chai';
import {
  BSON,
  MongoBulkWriteError,
  MongoClientClosedError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoParseError,
  MongoServerError,
  MongoUnexpectedServerResponseError,
} from 'mongodb';
import { failureFor, isAway, isDuplicate } from '../../../../src/data/store/mongo/failure.js';
import { ApiError } from '../../../../src/model/error.js';
import { StoreConflict } from '../../../../src/data/store/port.js';

const served = (code: number | undefined, message = 'failed') =>
  new MongoServerError({ message, ...(code === undefined ? {} : { code }) });

function bulk(...codes: number[]): MongoBulkWriteError {
  const writeErrors = codes.map((code, index) => ({ index, code, errmsg: 'no' }));
  const described = { message: 'failed', code: codes[0] ?? 0, writeErrors } as never;
  return new MongoBulkWriteError(described, {} as never);
}

const system = (code: string, syscall?: string) =>
  Object.assign(new Error(code), { code, ...(syscall === undefined ? {} : { syscall }) });

describe('a failure of the MongoDB server', () => {
  const outages: [string, unknown][] = [
    ['the database behind a gateway broke off', served(1, 'write failed: write: broken pipe')],
    [
      'the database behind a gateway starts',
      served(1, 'the database system is not yet accepting connections'),
    ],
    ['an unknown error', served(8)],
    ['an error without a code', served(undefined)],
    ['a code that nobody knows', served(7777)],
    ['a state of PostgreSQL where a code should be', served(16_777_221)],
    ['no rights any more', served(13)],
    ['a credential that was revoked', served(18)],
    ['a lost cursor', served(43)],
    ['its time limit', served(50)],
    ['an operation that failed', served(96)],
    ['too few members', served(100)],
    ['memory that is short', served(146)],
    ['a primary that stepped down', served(189)],
    ['no primary', served(10_107)],
    ['an interruption', served(11_601)],
    ['a shutdown', served(11_600)],
    ['a full disk', served(14_031)],
    ['a service that meters', served(16_500)],
    ['some documents of many', bulk(11_000, 1)],
    ['all documents of many', bulk(1)],
    ['the network', new MongoNetworkError('connection closed')],
    ['a closed client', new MongoClientClosedError()],
    ['an answer that is none', new MongoUnexpectedServerResponseError('what?')],
    ['a broken socket', system('EPIPE', 'write')],
    ['no more files to open', system('EMFILE', 'connect')],
    ['a name that is not found', system('EAI_AGAIN', 'getaddrinfo')],
    ['a TLS record that is wrong', system('ERR_SSL_WRONG_VERSION_NUMBER')],
  ];
  for (const [what, error] of outages) {
    it(`is an outage: ${what}`, () => {
      expect(isAway(error)).to.equal(true);
      const shown = failureFor(error);
      expect(shown).to.be.instanceOf(ApiError);
      expect(shown).to.include({ code: 'store_unavailable', status: 503 });
      expect(Number((shown as ApiError).headers['Retry-After'])).to.be.above(0);
    });
  }

  const faults: [string, unknown][] = [
    ['a bad value', served(2)],
    ['a command that cannot be parsed', served(9)],
    ['a command that is not known', served(59)],
    ['a validation that failed', served(121)],
    ['a document that is too large', served(10_334)],
    ['an assertion about the command', served(40_415)],
    ['a duplicate key', served(11_000)],
    ['duplicate keys', bulk(11_000, 11_000)],
    ['a document that is too large among many', bulk(11_000, 10_334)],
    ['a wrong argument', new MongoInvalidArgumentError('no')],
    ['an address that is none', new MongoParseError('no')],
    ['a text that is no BSON', new BSON.BSONError('no')],
    ['a lost race', new StoreConflict('revision', 'things', 'a')],
    ['a mistake in the code', new TypeError('undefined is not a function')],
  ];
  for (const [what, error] of faults) {
    it(`is none: ${what}`, () => {
      expect(isAway(error)).to.equal(false);
      expect(failureFor(error)).to.equal(error);
    });
  }

  it('is a duplicate only where nothing else went wrong', () => {
    expect([served(11_000), bulk(11_000, 11_000), bulk(11_000, 1), served(1)].map(isDuplicate)).to.deep.equal(
      [true, true, false, false],
    );
  });
});
