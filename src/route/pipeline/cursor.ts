/**
 * Opaque cursors: versioned, bound to one list with its filters, and signed, so that a damaged or foreign one is
 * detected. A cursor contains the position of a row, not the row, and outlives it.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { ApiError } from '../../model/error.js';

export interface PageKey {
  /** Values of the order's columns, the id last. */
  position: (string | number | null)[];
  /** The page ends before the position instead of beginning after it. */
  backward?: boolean;
  /** The row at the position belongs to the page. */
  inclusive?: boolean;
}

const version = 1;
const keyPattern = /^[A-Za-z0-9_-]{2,1500}\.[A-Za-z0-9_-]{22}$/;

/** Maximum number of cached signatures. */
const signatureLimit = 2000;

export class CursorCodec {
  readonly #secret: Buffer;
  /** For cursors that were issued or verified: they come back, and a signature costs 4 µs. */
  readonly #signatures = new LRUCache<string, string>({ max: signatureLimit });

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  /** `binding` identifies the list: path, filters and order. */
  encode(key: PageKey, binding: string): string {
    const flags = (key.backward === true ? 1 : 0) + (key.inclusive === true ? 2 : 0);
    const payload = Buffer.from(JSON.stringify([version, flags, ...key.position])).toString('base64url');
    return `${payload}.${this.#signature(payload, binding)}`;
  }

  decode(text: string, binding: string): PageKey {
    const [payload, signature] = text.split('.') as [string, string];
    if (!keyPattern.test(text)) throw invalid();
    // The texts are compared, not the bytes: the last character has unused bits that decoding ignores.
    const right = this.#signatures.get(`${binding}\n${payload}`) ?? this.#sign(payload, binding);
    if (!timingSafeEqual(Buffer.from(signature), Buffer.from(right))) throw invalid();
    this.#remember(payload, binding, right);
    const [found, flags, ...position] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [
      number,
      number,
    ];
    if (found !== version) throw invalid();
    return { position, backward: (flags & 1) !== 0, inclusive: (flags & 2) !== 0 };
  }

  #signature(payload: string, binding: string): string {
    const known = this.#signatures.get(`${binding}\n${payload}`);
    if (known !== undefined) return known;
    const signature = this.#sign(payload, binding);
    this.#remember(payload, binding, signature);
    return signature;
  }

  #remember(payload: string, binding: string, signature: string): void {
    this.#signatures.set(`${binding}\n${payload}`, signature);
  }

  #sign(payload: string, binding: string): string {
    const digest = createHmac('sha256', this.#secret).update(`${binding}\n${payload}`).digest();
    return digest.subarray(0, 16).toString('base64url');
  }
}

function invalid(): ApiError {
  return new ApiError('invalid_cursor', 'The cursor is not valid for this list and these filters.', {
    errors: [
      { parameter: 'key', message: 'Start again without a cursor, or follow the links in the responses.' },
    ],
  });
}
