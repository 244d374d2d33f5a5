/**
 * Shared by the baselines: the usual data layer over the same table. Rows are read, their JSON is parsed, the public
 * object is built, and the server serialises it. No authentication, no log, no access rules.
 */
import Database from 'better-sqlite3';
import { uuidv7 } from 'uuidv7';
import type { InstanceRecord } from '../../../src/model/instance.js';

/** The options of a baseline process on its command line, as JSON. */
export interface BaselineOptions {
  database: string;
}

export interface CreateBody {
  metadata: { name: string; description?: string };
  spec: { projectId: string; regionId: string; flavorId: string; imageId: string };
}

interface Row {
  id: string;
  value: string;
}

export type Shown = ReturnType<typeof present>;

export const namePattern = '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$';
const name = new RegExp(namePattern);
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function optionsOfProcess(): BaselineOptions {
  return JSON.parse(process.argv[2] ?? '{}') as BaselineOptions;
}

/** Reports the address to the bench. */
export function announce(port: number): void {
  process.stdout.write(`${JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` })}\n`);
}

/** The checks that handlers write by hand; undefined: the body is valid. */
export function faultOf(body: unknown): string | undefined {
  const { metadata, spec } = (body ?? {}) as Partial<CreateBody>;
  if (typeof metadata?.name !== 'string' || !name.test(metadata.name)) return 'metadata.name is not valid';
  const { description } = metadata as { description?: unknown };
  if (description !== undefined && typeof description !== 'string')
    return 'metadata.description is not valid';
  for (const key of ['projectId', 'regionId', 'flavorId', 'imageId'] as const) {
    const value: unknown = spec?.[key];
    if (typeof value !== 'string' || !uuid.test(value)) return `spec.${key} is not valid`;
  }
  return undefined;
}

function present(id: string, record: InstanceRecord) {
  return {
    metadata: {
      id,
      name: record.name,
      description: record.description,
      tags: record.tags,
      creationTime: record.creationTime,
      createdBy: record.createdBy,
      modifiedTime: record.modifiedTime,
      modifiedBy: record.modifiedBy,
      deletionTime: record.deletionTime,
      provisioningStatus: record.provisioning.status,
      healthStatus: record.powerState === 'Running' ? 'healthy' : 'unknown',
      organizationId: record.organizationId,
      projectId: record.projectId,
    },
    spec: { flavorId: record.flavorId, imageId: record.imageId },
    status: {
      regionId: record.regionId,
      networkId: record.networkId,
      powerState: record.powerState,
      privateIP: record.privateIP,
      publicIP: record.publicIP,
      macAddress: record.macAddress,
      taskId: record.openTasks[0],
    },
  };
}

/** Reads and writes as an application usually does, with prepared statements. */
export class UsualData {
  readonly #one: Database.Statement<[string]>;
  readonly #page: Database.Statement<[string, number]>;
  readonly #project: { organizationId: string; networkId: string; regionId: string };
  readonly #insert: (id: string, record: InstanceRecord, taskId: string) => void;

  constructor(file: string) {
    const db = new Database(file, { timeout: 5000 });
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    this.#one = db.prepare('SELECT id, value FROM instances WHERE id = ?');
    this.#page = db.prepare('SELECT id, value FROM instances WHERE id > ? ORDER BY id LIMIT ?');
    const [first] = this.page('', 1);
    if (first === undefined) throw new Error(`${file} has no instances`);
    const { organizationId } = first.metadata;
    const { networkId, regionId } = first.status;
    this.#project = { organizationId, networkId, regionId };
    this.#insert = inserter(db);
  }

  one(id: string): Shown | undefined {
    const row = this.#one.get(id) as Row | undefined;
    return row === undefined ? undefined : present(row.id, JSON.parse(row.value) as InstanceRecord);
  }

  page(after: string, limit: number): Shown[] {
    const rows = this.#page.all(after, limit) as Row[];
    return rows.map((row) => present(row.id, JSON.parse(row.value) as InstanceRecord));
  }

  /** One row for the instance and one for its task, in one transaction. */
  create({ metadata, spec }: CreateBody): Shown {
    const id = uuidv7();
    const taskId = uuidv7();
    const record: InstanceRecord = {
      ...this.#project,
      projectId: spec.projectId,
      regionId: spec.regionId,
      name: metadata.name,
      ...(metadata.description === undefined ? {} : { description: metadata.description }),
      flavorId: spec.flavorId,
      imageId: spec.imageId,
      creationTime: new Date().toISOString(),
      createdBy: 'admin',
      provisioning: { status: 'pending' },
      desiredPower: 'running',
      powerState: 'Pending',
      openTasks: [taskId],
    };
    this.#insert(id, record, taskId);
    return present(id, record);
  }
}

/** The same tables, columns and indexes as in Copse, without the stored public text. */
function inserter(db: Database.Database): (id: string, record: InstanceRecord, taskId: string) => void {
  const instance = db.prepare(
    `INSERT INTO instances (id, revision, organization_id, project_id, region_id, network_id, name, value)
     VALUES (?, 1, ?, ?, ?, ?, ?, ?)`,
  );
  const task = db.prepare(
    `INSERT INTO tasks (id, revision, project_id, region_id, subject_id, type, status, queue, rank, run_after, lease_until, value)
     VALUES (?, 1, ?, ?, ?, 'instance.create', 'pending', 'ready', 0, 0, 0, ?)`,
  );
  const both = db.transaction((id: string, record: InstanceRecord, taskId: string) => {
    const { organizationId, projectId, regionId, networkId } = record;
    instance.run(id, organizationId, projectId, regionId, networkId, record.name, JSON.stringify(record));
    const work = {
      type: 'instance.create',
      status: 'pending',
      queue: 'ready',
      activated: true,
      priority: 0,
      subject: { type: 'instance', id, name: record.name },
      input: {},
      organizationId,
      projectId,
      regionId,
      requester: { user: record.createdBy, requestId: taskId },
      creationTime: record.creationTime,
      attempts: [],
      steps: [],
      token: 0,
    };
    task.run(taskId, projectId, regionId, id, JSON.stringify(work));
  });
  return (id, record, taskId) => both.immediate(id, record, taskId);
}
