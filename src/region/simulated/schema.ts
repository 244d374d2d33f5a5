/** Tables of a simulated region's file. */

/**
 * - `server`: one row per machine. While `settleAt` (ms since the epoch) is in the future, the machine is in transition
 *   from `powerState` to `nextState`, and gets there even if the requesting process dies, as in a real cloud.
 * - `image`: the images made of servers; complete from `readyAt` (ms since the epoch) on.
 * - `change`: a short feed of the ids that changed, filled by triggers, so that every process sees every change.
 * - `history`: every mutation that was carried out; `changed` is 0 if there was nothing to do.
 * - `reboot`: the request of each server's last reboot, to recognise a repeat.
 * - `address`: the number of each server's address, which stays when the server is created again.
 * - `identity`: one row, which identifies the cloud.
 * - `rule`: the rules set by `program`. `attempt`: calls so far, from which random failures and delays are derived.
 */
export const schema = `
CREATE TABLE IF NOT EXISTS server (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  hostname TEXT NOT NULL,
  flavorId TEXT NOT NULL,
  imageId TEXT NOT NULL,
  tags TEXT NOT NULL,
  userDataBytes INTEGER NOT NULL,
  powerState TEXT NOT NULL,
  nextState TEXT,
  settleAt INTEGER,
  boots INTEGER NOT NULL,
  message TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS server_settle ON server (settleAt) WHERE settleAt IS NOT NULL;

CREATE TABLE IF NOT EXISTS image (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  serverId TEXT NOT NULL,
  spec TEXT NOT NULL,
  sizeBytes INTEGER NOT NULL,
  readyAt INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS server_image ON server (imageId);

CREATE TABLE IF NOT EXISTS change (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS server_made AFTER INSERT ON server BEGIN
  INSERT INTO change (id) VALUES (new.id);
END;
CREATE TRIGGER IF NOT EXISTS server_changed AFTER UPDATE ON server BEGIN
  INSERT INTO change (id) VALUES (new.id);
END;
CREATE TRIGGER IF NOT EXISTS server_gone AFTER DELETE ON server BEGIN
  INSERT INTO change (id) VALUES (old.id);
END;
CREATE TRIGGER IF NOT EXISTS change_bound AFTER INSERT ON change BEGIN
  DELETE FROM change WHERE seq <= new.seq - 20000;
END;

CREATE TABLE IF NOT EXISTS history (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  verb TEXT NOT NULL,
  time TEXT NOT NULL,
  changed INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS history_server ON history (id, seq);

CREATE TABLE IF NOT EXISTS reboot (id TEXT PRIMARY KEY, request TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS address (id TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS rule (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  verb TEXT NOT NULL,
  serverId TEXT,
  delay INTEGER,
  error TEXT,
  ambiguous INTEGER NOT NULL,
  remaining INTEGER
) STRICT;

CREATE TABLE IF NOT EXISTS attempt (
  id TEXT NOT NULL,
  verb TEXT NOT NULL,
  calls INTEGER NOT NULL,
  PRIMARY KEY (id, verb)
) STRICT, WITHOUT ROWID;
`;
