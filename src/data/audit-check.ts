/**
 * Verifies the audit trail: every record, its links to its neighbours, its public text and its columns, and the end of
 * the chain.
 */
import { isDeepStrictEqual } from 'node:util';
import { type AuditRecord, presentAuditRecord } from '../model/audit.js';
import { type AuditHead, auditHash, auditHeadId, auditHeads, auditRecords, firstHash } from './audit.js';
import type { Document, Scalar, Store } from './store/port.js';

export interface AuditReport {
  /** Number of records. */
  count: number;
  /** The last one; undefined if there is none. */
  last: AuditHead | undefined;
  /** What is wrong, and where; empty: nothing. */
  faults: string[];
}

const pageSize = 500;
/** Later faults are only counted. */
const faultLimit = 100;

/** Columns that filters use: a changed one would hide a record from a list. */
const filtered = ['user_id', 'user_name', 'resource_type', 'resource_id'] as const;

class ChainCheck {
  readonly faults: string[] = [];
  count = 0;
  last: AuditHead = { sequence: 0, hash: firstHash };
  readonly #head: AuditHead | undefined;
  #headSeen = false;
  /** How many records have each value of each filtered column. */
  readonly tallies = new Map(filtered.map((column) => [column, new Map<string, number>()]));

  constructor(head: AuditHead | undefined) {
    this.#head = head;
  }

  fault(where: string, what: string): void {
    if (this.faults.length < faultLimit) this.faults.push(`${where}: ${what}`);
  }

  /** `shown`: its public text, parsed. */
  take({ id, value }: Document<AuditRecord>, shown: unknown): void {
    this.count += 1;
    const expected = this.last.sequence + 1;
    const where = `record ${expected} (${id})`;
    if (!isRecord(value)) {
      this.fault(where, 'it was changed and is no longer a valid record');
      this.last = { sequence: expected, hash: '' };
      return;
    }
    if (value.sequence > expected) {
      this.fault(`records ${expected} to ${value.sequence - 1}`, 'they are missing');
    } else if (value.sequence !== expected) {
      this.fault(where, `it has the number ${value.sequence}`);
    } else if (value.previousHash !== this.last.hash) {
      this.fault(where, 'it does not continue the chain: it, or the record before it, was changed');
    }
    const found = `record ${value.sequence} (${id})`;
    if (auditHash(id, value) !== value.hash) this.fault(found, 'it was changed');
    if (!isDeepStrictEqual(shown, presentAuditRecord(id, value)))
      this.fault(found, 'its public text was changed');
    this.last = { sequence: value.sequence, hash: value.hash };
    if (value.sequence === this.#head?.sequence) this.#headSeen = value.hash === this.#head.hash;
    const columns = auditRecords.columnsOf(id, value);
    for (const [column, tally] of this.tallies) {
      const name = String(columns[column]);
      tally.set(name, (tally.get(name) ?? 0) + 1);
    }
  }

  /** `later`: the head after all records were read, of a trail that may have grown meanwhile. */
  end(later: AuditHead | undefined): void {
    const head = this.#head;
    if (head === undefined) {
      if (this.count > 0 && later === undefined) this.fault('head', 'it is missing');
    } else if (head.sequence > this.last.sequence) {
      this.fault(`records ${this.last.sequence + 1} to ${head.sequence}`, 'the last ones are missing');
    } else if (head.sequence > 0 && !this.#headSeen) {
      this.fault(`record ${head.sequence}`, 'it does not match the head of the chain');
    } else if ((later?.sequence ?? 0) < this.last.sequence) {
      this.fault('head', `it was changed: it names record ${later?.sequence ?? 0} as the last one`);
    }
  }
}

/** Whether a stored value has the members that the check reads. */
function isRecord(value: AuditRecord | null): value is AuditRecord {
  const { sequence, hash, user, resource } = (value ?? {}) as Partial<AuditRecord>;
  return Number.isSafeInteger(sequence) && typeof hash === 'string' && user != null && resource != null;
}

/** Reads the whole trail. Servers may go on writing meanwhile. */
export async function verifyAudit(store: Store): Promise<AuditReport> {
  const head = (await store.get(auditHeads, auditHeadId))?.value;
  const check = new ChainCheck(head);
  try {
    await takeAll(store, check);
  } catch (error) {
    // A store that is unavailable is no fault of the trail.
    if (!(error instanceof SyntaxError)) throw error;
    check.fault(`after record ${check.last.sequence}`, 'the next records are not JSON');
  }
  check.end((await store.get(auditHeads, auditHeadId))?.value);
  const { count, last, faults } = check;
  return { count, last: last.sequence === 0 ? undefined : last, faults };
}

async function takeAll(store: Store, check: ChainCheck): Promise<void> {
  let after: Scalar[] | undefined;
  for (;;) {
    const query = { order: 'sequence', limit: pageSize, ...(after === undefined ? {} : { after }) };
    const page = await store.page(auditRecords, query);
    const { body, last } = await store.pageTexts(auditRecords, query);
    const shown = JSON.parse(body.toString()) as unknown[];
    for (const [at, record] of page.entries()) check.take(record, shown[at]);
    // By the columns: a changed value must not lead anywhere else.
    if (last === undefined || page.length < pageSize) break;
    after = last;
  }
  await countColumns(store, check);
}

/** Whether filters find every record. Records that were added meanwhile only make the numbers larger. */
async function countColumns(store: Store, check: ChainCheck): Promise<void> {
  for (const [column, tally] of check.tallies) {
    for (const [value, count] of tally) {
      const found = await store.count(auditRecords, { filter: { [column]: value } });
      if (found < count)
        check.fault(`column ${column}`, `${count - found} of ${count} records of "${value}" are hidden`);
    }
  }
}
