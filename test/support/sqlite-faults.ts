/** Faults of SQLite files: failing statements of better-sqlite3, in any database. */
import Database from 'better-sqlite3';
import { type FaultCode, Faults } from './faults.js';

type Call = (this: Database.Statement, ...parameters: unknown[]) => unknown;

const codes: Record<FaultCode, string> = {
  ENOSPC: 'SQLITE_FULL',
  EIO: 'SQLITE_IOERR_WRITE',
  EMFILE: 'SQLITE_CANTOPEN',
  EACCES: 'SQLITE_READONLY',
};

export class SqliteFaults extends Faults {
  readonly #originals = new Map<string, Call>();
  readonly #prototype: object;

  constructor() {
    super();
    const database = new Database(':memory:');
    this.#prototype = Object.getPrototypeOf(database.prepare('SELECT 1')) as object;
    database.close();
  }

  install(): void {
    const meet = (what: string): FaultCode | undefined => this.meet(what);
    for (const name of ['run', 'get', 'all']) {
      const original = Reflect.get(this.#prototype, name) as Call;
      this.#originals.set(name, original);
      Reflect.set(this.#prototype, name, function (this: Database.Statement, ...parameters: unknown[]) {
        const code = meet(this.source.trim().replaceAll(/\s+/g, ' ').slice(0, 60));
        if (code !== undefined) throw new Database.SqliteError(`a fault: ${code}`, codes[code]);
        return original.apply(this, parameters);
      });
    }
  }

  restore(): void {
    for (const [name, original] of this.#originals) Reflect.set(this.#prototype, name, original);
  }
}
