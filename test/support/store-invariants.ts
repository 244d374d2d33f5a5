/** Invariants of every store at any time, however the processes that wrote it ended. */
import { instances } from '../../src/data/instance.js';
import type { CollectionSpec, Document, Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';

async function all<T>(store: Store, collection: CollectionSpec<T>): Promise<Document<T>[]> {
  const found: Document<T>[] = [];
  for (let after: string | undefined; ;) {
    const page = await store.page(collection, {
      order: 'id',
      limit: 1000,
      ...(after === undefined ? {} : { after: [after] }),
    });
    found.push(...page);
    after = page.at(-1)?.id;
    if (after === undefined || page.length < 1000) return found;
  }
}

/** Violations: halves of pairs, and names shared by two instances of a project. Empty if there are none. */
export async function faultsIn(store: Store): Promise<string[]> {
  const faults: string[] = [];
  const [machines, work] = [await all(store, instances), await all(store, tasks)];
  const byId = new Map(machines.map((machine) => [machine.id, machine]));
  const open = new Map(work.filter(({ value }) => value.queue !== 'done').map((task) => [task.id, task]));
  for (const machine of machines) {
    for (const id of machine.value.openTasks) {
      if (open.get(id)?.value.subject?.id !== machine.id)
        faults.push(`instance ${machine.id} waits for task ${id}, which is not open`);
    }
  }
  for (const task of open.values()) {
    if (byId.get(task.value.subject?.id ?? '')?.value.openTasks.includes(task.id) !== true)
      faults.push(`task ${task.id} is open, but its instance does not know it`);
  }
  const names = machines.map(({ value }) => `${value.projectId} ${value.name}`);
  if (new Set(names).size !== names.length) faults.push('two instances of a project have the same name');
  return faults;
}
