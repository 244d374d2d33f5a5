/** The durable log of writes to logged collections. With one writer at a time, positions are in commit order. */
import type { Change, ChangePage, ChangeQuery, CollectionSpec, Scalar } from '../port.js';
import type { Statements } from './statements.js';

const columns = '"position", "time", "collection", "id", "op", "revision", "scope", "text"';

/** AUTOINCREMENT: a position is never reused, even after trimming. */
export const changeLogSchema = [
  'CREATE TABLE IF NOT EXISTS "change_log" ("position" INTEGER PRIMARY KEY AUTOINCREMENT, "time" TEXT NOT NULL, ' +
    '"collection" TEXT NOT NULL, "id" TEXT NOT NULL, "op" TEXT NOT NULL, "revision" INTEGER NOT NULL, ' +
    '"scope" TEXT, "text" TEXT) STRICT',
];

export class ChangeLog {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  append(
    { name }: CollectionSpec<never>,
    id: string,
    { op, revision, scope, text }: Pick<Change, 'op' | 'revision' | 'scope' | 'text'>,
  ): void {
    this.#statements
      .get(
        'INSERT INTO "change_log" ("time", "collection", "id", "op", "revision", "scope", "text") VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(new Date().toISOString(), name, id, op, revision, scope, text);
  }

  read({ after, scopes, insertedInto, limit }: ChangeQuery): ChangePage {
    const last = this.last();
    const where =
      (scopes === undefined ? '' : ` AND "scope" IN (${scopes.map(() => '?').join(', ')})`) +
      (insertedInto === undefined ? '' : ` AND "op" = 'insert' AND "collection" = ?`);
    const wanted = [...(scopes ?? []), ...(insertedInto === undefined ? [] : [insertedInto])];
    const changes = this.#statements
      .get(`SELECT ${columns} FROM "change_log" WHERE "position" > ?${where} ORDER BY "position" LIMIT ?`)
      .all(...([after, ...wanted, limit] as Scalar[])) as Change[];
    const full = changes.length === limit ? changes.at(-1)?.position : undefined;
    return { changes, next: full ?? Math.max(after, last) };
  }

  range(): { first: number; last: number } {
    const last = this.last();
    const first = this.#statements.get('SELECT min("position") FROM "change_log"').pluck(true).get() as
      number | null;
    return { first: first ?? (last === 0 ? 0 : last + 1), last };
  }

  /** From the counter, so that it remains when everything is trimmed. */
  last(): number {
    const last = this.#statements
      .get('SELECT "seq" FROM "sqlite_sequence" WHERE "name" = \'change_log\'')
      .pluck(true)
      .get() as number | undefined;
    return last ?? 0;
  }

  /** Positions and times grow together, but for clocks that jump; a later change is never dropped before an earlier. */
  trim(before: string): number {
    return this.#statements
      .get(
        'DELETE FROM "change_log" WHERE "position" < coalesce((SELECT min("position") FROM "change_log" ' +
          'WHERE "time" >= ?), 9223372036854775807)',
      )
      .run(before).changes;
  }
}
