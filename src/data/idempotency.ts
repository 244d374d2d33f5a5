/**
 * Answers kept for repeats of a request (draft-ietf-httpapi-idempotency-key-header). The record is made before the work
 * begins, and is completed in the very batch that stores the work's effect: a crash leaves either neither, and the
 * repeat does the work, or both, and the repeat gets the answer.
 */
import { createHash } from 'node:crypto';
import { ApiError } from '../model/error.js';
import { isDeadOwner } from './owner.js';
import type { CollectionSpec, Document, Store, Write } from './store/port.js';
import { insert, remove, replace, StoreConflict } from './store/port.js';

/** An answer as it is kept: all that a repeat must get again. */
export interface StoredAnswer {
  status: number;
  headers: Record<string, string>;
  body?: string;
}

interface IdempotencyRecord {
  userId: string;
  /** SHA-256 of what was asked. */
  fingerprint: string;
  /** The process that does the work, until there is an answer. */
  owner: string;
  /** Milliseconds since 1970. */
  created: number;
  answer?: StoredAnswer;
}

export const idempotency: CollectionSpec<IdempotencyRecord> = {
  name: 'idempotency',
  columns: { created: 'integer' },
  columnsOf: (_id, record) => ({ created: record.created }),
  orders: { id: [], created: ['created'] },
};

/** How long an answer is kept, in milliseconds. */
export const retention = 24 * 60 * 60 * 1000;

/** Milliseconds after which work without an answer counts as abandoned: longer than any request may take. */
const abandoned = 5 * 60 * 1000;

export interface IdempotentRequest {
  userId: string;
  key: string;
  /** Method and path. */
  operation: string;
  /** Query and body. */
  content: string;
}

/** The right to do the work of a key, or the answer if it has been done. */
export class IdempotencyClaim {
  readonly answer: StoredAnswer | undefined;
  readonly #store: Store;
  readonly #record: Document<IdempotencyRecord>;
  /** What a batch was given to keep. */
  #kept: string | undefined;

  constructor(store: Store, record: Document<IdempotencyRecord>) {
    this.#store = store;
    this.#record = record;
    this.answer = record.value.answer;
  }

  /** The write that keeps the answer, for the batch of the effect. */
  writes(answer: StoredAnswer): Write[] {
    this.#kept = JSON.stringify(answer);
    return [this.#keep(answer, this.#record.revision)];
  }

  /** Keeps the final answer, unless the batch of the effect has kept the same. A batch that failed kept nothing. */
  async finish(answer: StoredAnswer, afterFailure = false): Promise<void> {
    if (this.#kept === undefined || afterFailure)
      return this.#quietly([this.#keep(answer, this.#record.revision)]);
    if (this.#kept !== JSON.stringify(answer))
      await this.#quietly([this.#keep(answer, this.#record.revision + 1)]);
  }

  /** Forgets the key, so that a repeat does the work: nothing was done. */
  async release(): Promise<void> {
    await this.#quietly([remove(idempotency, this.#record)]);
  }

  #keep(answer: StoredAnswer, revision: number): Write {
    return replace(idempotency, { ...this.#record, revision }, { ...this.#record.value, answer });
  }

  /** A conflict means that the effect was stored after all, with its own answer, or that another request took over. */
  async #quietly(writes: Write[]): Promise<void> {
    try {
      await this.#store.write(writes);
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
    }
  }
}

export class IdempotencyData {
  readonly #store: Store;
  readonly #owner: string;

  constructor(store: Store, owner: string) {
    this.#store = store;
    this.#owner = owner;
  }

  /** Claims the key. Throws 422 when it was used for another request, 409 while the first one runs. */
  async begin(request: IdempotentRequest, signal?: AbortSignal): Promise<IdempotencyClaim> {
    const id = digest(`${request.userId}\n${request.operation}\n${request.key}`);
    const value: IdempotencyRecord = {
      userId: request.userId,
      fingerprint: digest(request.content),
      owner: this.#owner,
      created: Date.now(),
    };
    const found = await this.#store.get(idempotency, id, signal);
    try {
      if (found === undefined)
        return await this.#claim(insert(idempotency, id, value), { id, revision: 1, value });
      const expired = found.value.created + retention < value.created;
      if (!expired && found.value.fingerprint !== value.fingerprint) {
        throw new ApiError(
          'idempotency_mismatch',
          'The Idempotency-Key was used for another request; take a new one.',
        );
      }
      if (found.value.answer !== undefined && !expired) return new IdempotencyClaim(this.#store, found);
      const over = found.value.created + abandoned < value.created || isDeadOwner(found.value.owner);
      if (!over && !expired) throw running();
      const claimed = { id, revision: found.revision + 1, value };
      return await this.#claim(replace(idempotency, found, value), claimed);
    } catch (error) {
      if (error instanceof StoreConflict) throw running(error);
      throw error;
    }
  }

  async #claim(write: Write, record: Document<IdempotencyRecord>): Promise<IdempotencyClaim> {
    await this.#store.write([write]);
    return new IdempotencyClaim(this.#store, record);
  }

  /** Removes answers that are too old; tells how many. */
  async purge(now: number, signal: AbortSignal): Promise<number> {
    let removed = 0;
    for (;;) {
      const page = await this.#store.page(idempotency, { order: 'created', limit: 200 }, signal);
      const old = page.filter(({ value }) => value.created + retention < now);
      for (const record of old) {
        signal.throwIfAborted();
        try {
          await this.#store.write([remove(idempotency, record)]);
          removed += 1;
        } catch (error) {
          if (!(error instanceof StoreConflict)) throw error;
        }
      }
      if (old.length < page.length || page.length === 0) return removed;
    }
  }
}

function running(cause?: unknown): ApiError {
  return new ApiError(
    'idempotency_in_progress',
    'The first request with this Idempotency-Key is still running.',
    {
      cause,
      headers: { 'Retry-After': '1' },
    },
  );
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
