/** A process that opens a SQLite file, brings it to the current schema and reports what it did. Argument: the file. */
import { collections } from '../../src/data/connector.js';
import { migrateStore } from '../../src/data/migration/index.js';
import { schema, schemaId } from '../../src/data/migration/schema.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import { type Log, silentLog } from '../../src/model/log.js';

const log: Log = { ...silentLog, info: (_details, message) => process.stdout.write(`${message}\n`) };
const store = new SqliteStore(process.argv[2] ?? '', collections);
await migrateStore(store, log);
process.stdout.write(`schema ${(await store.get(schema, schemaId))?.value.version ?? 'unknown'}\n`);
await store.close();
