/** What happened to an instance. */
import { orNotFound } from '../model/error.js';
import { timelineOf } from '../model/timeline.js';
import { arrayPage } from './array-page.js';
import { auditRecords } from './audit.js';
import type { Caller } from './caller.js';
import { instances } from './instance.js';
import { ResourceData } from './resource.js';
import type { ListPage, TextPage } from './store/port.js';
import { tasks } from './task.js';

/** Number of tasks, and of audit records, that a timeline goes back: so a page has a bounded cost. */
const depth = 200;

export class TimelineData extends ResourceData {
  /** A page of the timeline, in the order of time. */
  async list({ signal }: Caller, id: string, page: ListPage): Promise<TextPage> {
    const newest = { descending: true, limit: depth };
    const [instance, work, records] = await Promise.all([
      this.store.get(instances, id, signal),
      this.store.page(tasks, { order: 'id', filter: { subject_id: id }, ...newest }, signal),
      this.store.page(auditRecords, { order: 'sequence', filter: { resource_id: id }, ...newest }, signal),
    ]);
    const entries = timelineOf(orNotFound(instance).value, work, records);
    return arrayPage(entries, (entry) => [entry.time, entry.id], page);
  }
}
