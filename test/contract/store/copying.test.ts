import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collections } from '../../../src/data/connector.js';
import { SqliteStore } from '../../../src/data/store/sqlite/sqlite.js';
import { type CopyGround, copyContract } from './copying.js';

function sqliteGround(): CopyGround {
  const folder = mkdtempSync(join(tmpdir(), 'copse-copy-'));
  let opened = 0;
  return {
    open: () => Promise.resolve(new SqliteStore(join(folder, `${(opened += 1)}.sqlite`), collections)),
    clear: () => rm(folder, { recursive: true, force: true }),
  };
}

copyContract('from SQLite to SQLite', sqliteGround, sqliteGround);
