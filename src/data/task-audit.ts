/**
 * What users ask of instances, in the audit trail: create, replace, delete, start, stop and reboot. A record in the
 * batch of the request would make all creates of a site wait for each other, since the trail is one chain. The task is in
 * that batch, and so is its entry in the change log; from the log it is recorded a moment later, exactly once.
 */
import type { Task } from '../model/task.js';
import { type Actor, auditedActs, type AuditEntry } from './audit.js';
import { insert, replace, type Change, type CollectionSpec, type Store, type Write } from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';
import { tasks } from './task.js';
import { users } from './user.js';

/** How far the change log has been recorded: its position, not the id of an event. */
interface AuditPosition {
  after: number;
}

/** Next to the schema document, like `eventBases`: the log of a copy is another one. */
const auditPositions: CollectionSpec<AuditPosition> = {
  name: 'schema',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

const positionId = 'audit';

/** Maximum number of requests per batch. */
const batchSize = 200;
/** Changes without a request among them are skipped; the position is stored only after this many. */
const skipSize = 5000;

interface Request {
  actor: Actor;
  entry: AuditEntry;
}

/** What one batch has done. */
export interface Recorded {
  /** Whether there may be more at once. */
  more: boolean;
  /** Changes that were dropped from the log before they could be recorded. */
  lost: number;
}

export class TaskAuditData {
  readonly #store: Store;
  /** Read up to here; all before it is recorded, or is nothing to record. */
  #read = -1;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The first process of a site begins at the end of the log. */
  async open(): Promise<void> {
    const { position } = await this.#store.lastChange();
    if ((await this.#store.get(auditPositions, positionId)) === undefined)
      await unlessRaced(this.#store.write([insert(auditPositions, positionId, { after: position })]));
  }

  /** Records what the next changes of the log say. Other processes may do the same: one of them succeeds. */
  async recordNext(): Promise<Recorded> {
    return retrying(async () => {
      const stored = await this.#store.get(auditPositions, positionId);
      if (stored === undefined) throw new Error('The position of the audit trail is missing');
      const after = Math.max(stored.value.after, this.#read);
      const lost = Math.max(0, (await this.#store.changeRange()).first - 1 - after);
      const query = { after, insertedInto: tasks.name, limit: batchSize };
      const { changes, next } = await this.#store.changes(query);
      const requests = await this.#requestsIn(changes);
      if (requests.length > 0 || next - stored.value.after >= skipSize) {
        const writes: Write[] = [replace(auditPositions, stored, { after: next })];
        if (requests.length > 0) writes.push(...(await auditedActs(this.#store, requests)).writes);
        await this.#store.write(writes);
      }
      this.#read = next;
      return { more: changes.length === batchSize, lost };
    });
  }

  async #requestsIn(changes: readonly Change[]): Promise<Request[]> {
    const found: Request[] = [];
    const ids = new Map<string, string | undefined>();
    for (const { id, text } of changes) {
      if (text === null) continue;
      const task = JSON.parse(text) as Task;
      const { user: name, requestId } = task.requester;
      if (!ids.has(name)) ids.set(name, (await this.#store.find(users, 'name', [name]))?.id);
      const userId = ids.get(name);
      // The site itself is no user.
      if (userId !== undefined && task.subject !== undefined)
        found.push({ actor: { principal: { id: userId, name }, requestId }, entry: entryOf(id, task) });
    }
    return found;
  }
}

function entryOf(taskId: string, { type, subject, projectId }: Task): AuditEntry {
  const known = { name: subject?.name, projectId };
  return {
    action: type,
    resource: { type: subject?.type ?? 'task', id: subject?.id ?? taskId },
    before: type.endsWith('.create') ? null : known,
    after: type.endsWith('.delete') ? null : { ...known, taskId },
  };
}
