/** A store with many instances, created quickly and directly. */
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { migrateStore } from '../../src/data/migration/index.js';
import { secretFor } from '../../src/data/secret.js';
import { insert, type Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { silentLog } from '../../src/model/log.js';
import { instanceRecord, taskRecord } from './rows.js';

const batch = 200;

/** Instances with one task each, and the secrets that every used store has. */
export async function fill(store: Store, count: number): Promise<void> {
  await migrateStore(store, silentLog);
  await secretFor(store, 'cursor');
  for (let done = 0; done < count; done += batch) {
    const writes = Array.from({ length: Math.min(batch, count - done) }, (_, index) => {
      const [id, taskId] = [uuidv7(), uuidv7()];
      const tags = [{ name: 'n', value: String(index % 7) }];
      return [
        insert(instances, id, instanceRecord({ name: `seeded-${done + index}`, tags })),
        insert(tasks, taskId, taskRecord(id, { queue: 'done', status: 'succeeded' })),
      ];
    });
    await store.write(writes.flat());
  }
}
