/**
 * The bare engine as a separate process: transactions of two documents on a SQLite file, with the same durability as
 * Copse, one after the other. Arguments: file, seconds. Prints the rate of each second.
 */
import { randomUUID } from 'node:crypto';
import Database from 'better-sqlite3';

const [file = '', seconds = '2'] = process.argv.slice(2);
const database = new Database(file);
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec(
  'CREATE TABLE IF NOT EXISTS one (id TEXT PRIMARY KEY, revision INTEGER, value TEXT, public TEXT) STRICT',
);
database.exec(
  'CREATE TABLE IF NOT EXISTS two (id TEXT PRIMARY KEY, revision INTEGER, value TEXT, public TEXT) STRICT',
);
// As long as the texts of an instance and its task.
const [value, text] = ['v'.repeat(600), 't'.repeat(800)];
const one = database.prepare('INSERT INTO one VALUES (?, 1, ?, ?)');
const two = database.prepare('INSERT INTO two VALUES (?, 1, ?, ?)');
const both = database.transaction((first: string, second: string) => {
  one.run(first, value, text);
  two.run(second, value, text);
});
const end = Date.now() + Number(seconds) * 1000;
const begun = process.hrtime.bigint();
let count = 0;
for (; Date.now() < end; count += 1) both.immediate(randomUUID(), randomUUID());
const rate = count / (Number(process.hrtime.bigint() - begun) / 1e9);
database.close();
process.stdout.write(`${rate}\n`);
