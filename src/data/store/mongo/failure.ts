/** What failures of the driver and the server mean to a request: the store is unavailable, or Copse has a bug. */
import {
  MongoAPIError,
  MongoBulkWriteError,
  MongoError,
  MongoParseError,
  MongoServerError,
  type WriteError,
} from 'mongodb';
import { ApiError } from '../../../model/error.js';

/**
 * Server errors about a wrong command or document: Copse's own fault. Names as in MongoDB's error_codes.yml. All other
 * codes, known or not, are attributed to the server.
 */
const ownFaults = new Set([
  2, // BadValue
  4, // NoSuchKey
  9, // FailedToParse
  14, // TypeMismatch
  15, // Overflow
  16, // InvalidLength
  20, // IllegalOperation
  22, // InvalidBSON
  26, // NamespaceNotFound
  27, // IndexNotFound
  28, // PathNotViable
  29, // NonExistentPath
  30, // InvalidPath
  40, // ConflictingUpdateOperators
  48, // NamespaceExists
  52, // DollarPrefixedFieldName
  53, // InvalidIdField
  54, // NotSingleValueField
  55, // InvalidDBRef
  56, // EmptyFieldName
  57, // DottedFieldName
  59, // CommandNotFound
  66, // ImmutableField
  67, // CannotCreateIndex
  68, // IndexAlreadyExists
  72, // InvalidOptions
  73, // InvalidNamespace
  85, // IndexOptionsConflict
  86, // IndexKeySpecsConflict
  115, // CommandNotSupported
  121, // DocumentValidationFailure
  181, // AmbiguousIndexKeyPattern
  197, // InvalidIndexSpecificationOption
  224, // QueryFeatureNotAllowed
  238, // NotImplemented
  241, // ConversionFailure
  263, // OperationNotSupportedInTransaction
  291, // NoQueryExecutionPlans
]);

/** The number range of MongoDB's assertions about requests, except for these, which have names and mean "not now". */
const assertions = { from: 10_000, before: 100_000 };
const passing = new Set([
  10_058, // LegacyNotPrimary
  10_107, // NotWritablePrimary
  11_600, // InterruptedAtShutdown
  11_601, // Interrupted
  11_602, // InterruptedDueToReplStateChange
  12_587, // BackgroundOperationInProgressForNamespace
  13_388, // StaleConfig
  13_435, // NotPrimaryNoSecondaryOk
  13_436, // NotPrimaryOrSecondary
  14_031, // OutOfDiskSpace
  16_500, // RequestRateTooLarge, of services that meter
]);

const duplicateKey = 11_000;

function isOwnFault(code: unknown): boolean {
  if (typeof code !== 'number') return false;
  const asserted = code >= assertions.from && code < assertions.before;
  return ownFaults.has(code) || (asserted && !passing.has(code));
}

/** Errors in using the driver, except for these, which occur when the connection is lost or closed in between. */
const lost = new Set([
  'MongoNotConnectedError',
  'MongoServerClosedError',
  'MongoTopologyClosedError',
  'MongoClientClosedError',
  'MongoExpiredSessionError',
]);

/** Errors that the driver passes on from Node: a socket, a name, a certificate, or too many open files. */
function isSystemFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return (
    syscall !== undefined ||
    (typeof code === 'string' && /^(E[A-Z0-9]+|ERR_(SSL|TLS|SOCKET|STREAM)_.+)$/.test(code))
  );
}

/**
 * Whether the server temporarily failed: it is unreachable, shutting down, out of space, refusing connections, or its
 * database behind a gateway is unreachable. Whether the operation was done after all is unknown. This is assumed for
 * every failure except those known to be Copse's own.
 */
export function isAway(error: unknown): boolean {
  if (!(error instanceof MongoError)) return isSystemFailure(error);
  if (error instanceof MongoBulkWriteError) return isBulkAway(error);
  if (error instanceof MongoServerError) return error.code !== duplicateKey && !isOwnFault(error.code);
  if (error instanceof MongoAPIError || error instanceof MongoParseError) return lost.has(error.name);
  return true;
}

/** A bulk write wraps the error of its connection, and has an error for each refused document. */
function isBulkAway(error: MongoBulkWriteError): boolean {
  const { errorResponse } = error as { errorResponse?: unknown };
  if (errorResponse instanceof Error) return isAway(errorResponse);
  const codes = [error.code, ...writeErrorsOf(error).map(({ code }) => code)];
  const grave = codes.filter((code) => code !== duplicateKey);
  return grave.length > 0 && !grave.some(isOwnFault);
}

/** One, several, or none, whatever the driver's types say. */
function writeErrorsOf({ writeErrors }: { writeErrors?: WriteError | readonly WriteError[] }): WriteError[] {
  return writeErrors === undefined ? [] : [writeErrors].flat();
}

export function isDuplicate(error: unknown): boolean {
  if (!(error instanceof MongoServerError) || error.code !== duplicateKey) return false;
  if (!(error instanceof MongoBulkWriteError)) return true;
  return writeErrorsOf(error).every(({ code }) => code === duplicateKey);
}

/** What a caller gets: 503 while the server is unavailable, otherwise the error itself. */
export function failureFor(error: unknown): unknown {
  return isAway(error) ? unavailable(error) : error;
}

export function unavailable(cause?: unknown): ApiError {
  return new ApiError('store_unavailable', 'The database is unreachable; try again.', {
    cause,
    headers: { 'Retry-After': '2' },
  });
}
