import type Database from 'better-sqlite3';
import { LRUCache } from 'lru-cache';
import type { Scalar } from '../port.js';

/** Maximum number of prepared statements. Their texts come from declarations, so their number is small. */
const statementLimit = 500;

/** One connection and the statements that it has prepared. */
export class Statements {
  readonly db: Database.Database;
  readonly #prepared = new LRUCache<string, Database.Statement<Scalar[]>>({ max: statementLimit });
  readonly #run: Database.Transaction<(work: () => unknown) => unknown>;

  constructor(db: Database.Database) {
    this.db = db;
    this.#run = db.transaction((work: () => unknown) => work());
  }

  get(sql: string): Database.Statement<Scalar[]> {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.db.prepare<Scalar[]>(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }

  /** Reads on one snapshot; within a write transaction, a savepoint. */
  nested<R>(work: () => R): R {
    return this.#run(work) as R;
  }

  /** "Immediate" takes the write lock at the start, where busy_timeout still helps. */
  transaction<R>(work: () => R): R {
    return this.#run.immediate(work) as R;
  }

  close(): void {
    this.#prepared.clear();
    this.db.close();
  }
}
