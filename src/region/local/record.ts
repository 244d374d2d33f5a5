/** state.json: what must be known about a server after a restart. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/schema';
import { PowerState } from '../../model/power.js';
import { RegionError } from '../provider.js';
import { unreadable } from './file-fault.js';
import { errorCode, writeDurably } from './files.js';

export const ServerRecord = Type.Object(
  {
    format: Type.Literal(1),
    id: Type.String(),
    flavorId: Type.String(),
    imageId: Type.String(),
    /** The shape is fixed until a resize; a flavor may change later. */
    cpus: Type.Integer({ minimum: 1 }),
    memoryMiB: Type.Integer({ minimum: 1 }),
    diskBytes: Type.Integer({ minimum: 1 }),
    /** The disk is smaller than that, and grows before the next start. */
    grows: Type.Optional(Type.Boolean()),
    mac: Type.String({ pattern: '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' }),
    /** The desired state; an interrupted stop or start is finished according to it. */
    wanted: Type.Union([Type.Literal('running'), Type.Literal('stopped')]),
    /** A reboot is in progress: when the machine ends, it is started again. */
    rebooting: Type.Boolean(),
    /** The request of the last reboot, to recognise a repeat. */
    reboot: Type.Optional(Type.String()),
    /** The guest ran at least once, so its disk has content. */
    continued: Type.Boolean(),
    /** How often it was started; absent in older records. */
    boots: Type.Optional(Type.Integer({ minimum: 0 })),
    /** The last emulator. */
    process: Type.Optional(
      Type.Object({ pid: Type.Integer({ minimum: 2 }), startTime: Type.String(), bootId: Type.String() }),
    ),
    powerState: PowerState,
    message: Type.Optional(Type.String()),
  },
  { title: 'ServerRecord' },
);
export type ServerRecord = Static<typeof ServerRecord>;

const fileName = 'state.json';
const format = ServerRecord.properties.format.const;
const damage = 'The record of the server on its host is damaged; the server can only be deleted.';

/**
 * Undefined: there is none. Rejects with RegionError: `transient` if it cannot be read, or was written by a newer
 * version; `terminal` if it was read and is damaged or belongs to another server.
 */
export async function readRecord(folder: string, id: string): Promise<ServerRecord | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, fileName), 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw unreadable(`The record of the server (${fileName})`, error);
  }
  const record = parsed(text);
  if (isOfAnotherFormat(record)) {
    const message = `The record of the server (${fileName}) has format ${record.format}; this version reads ${format}.`;
    throw new RegionError('transient', message);
  }
  if (!Check(ServerRecord, record) || record.id !== id) throw damaged(`${fileName} is damaged`);
  return record;
}

/** The record of the server is lost. `cause`: for the log. */
export function damaged(cause: unknown): RegionError {
  return new RegionError('terminal', damage, { cause });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(error);
  }
}

function isOfAnotherFormat(record: unknown): record is { format: number } {
  const schema = Type.Object({ format: Type.Integer({ minimum: 1 }) });
  return Check(schema, record) && record.format !== format;
}

export async function writeRecord(folder: string, record: ServerRecord): Promise<void> {
  await writeDurably(join(folder, fileName), `${JSON.stringify(record, undefined, 2)}\n`);
}

export async function dropRecord(folder: string): Promise<void> {
  await rm(join(folder, fileName), { force: true });
}
