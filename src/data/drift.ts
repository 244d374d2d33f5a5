/** Drift: what the last comparison of each region found. A report is removed once it is no longer true. */
import type { Drift } from '../model/drift.js';
import { timestamp } from '../model/common.js';
import { deletionOf, type SubjectType } from '../model/task.js';
import type { Caller } from './caller.js';
import { ResourceData } from './resource.js';
import {
  type CollectionSpec,
  emptyPage,
  insert,
  type ListPage,
  remove,
  replace,
  type TextPage,
} from './store/port.js';
import { unlessRaced } from './store/retry.js';
import { tasks } from './task.js';

export const drifts: CollectionSpec<Drift> = {
  name: 'drifts',
  columns: { region_id: 'text', project_id: 'text' },
  columnsOf: (_id, drift) => ({ region_id: drift.regionId, project_id: drift.projectId ?? null }),
  present: (_id, drift) => drift,
  orders: { id: [] },
  indexes: [['region_id'], ['project_id']],
};

/** A finding, before it is known since when. */
export type Finding = Omit<Drift, 'since'>;

export interface DriftFilter {
  projectIds?: readonly string[] | undefined;
  regionIds?: readonly string[] | undefined;
}

export class DriftData extends ResourceData {
  /** Drift in the caller's projects; superusers also see findings that belong to none. */
  list(caller: Caller, { projectIds, regionIds }: DriftFilter, page: ListPage): Promise<TextPage> {
    // It tells of machines, which have no tags.
    if (caller.principal.limits?.tags !== undefined) return Promise.resolve(emptyPage);
    return this.projects.contents(drifts, caller, { projectIds, columns: { region_id: regionIds } }, page);
  }

  /**
   * Replaces the region's reports with the findings; returns the new ones. If another process compares at the same
   * time, its results are equally valid.
   */
  async settle(regionId: string, findings: readonly Finding[]): Promise<Finding[]> {
    const open = new Map(findings.map((finding) => [`${finding.instanceId}.${finding.kind}`, finding]));
    for (let after: [string] | undefined; ;) {
      const page = await this.store.page(drifts, {
        order: 'id',
        filter: { region_id: regionId },
        limit: 500,
        ...(after === undefined ? {} : { after }),
      });
      for (const known of page) {
        const finding = open.get(known.id);
        open.delete(known.id);
        const next = finding === undefined ? undefined : { ...finding, since: known.value.since };
        if (next !== undefined && JSON.stringify(next) === JSON.stringify(known.value)) continue;
        const write = next === undefined ? remove(drifts, known) : replace(drifts, known, next);
        await unlessRaced(this.store.write([write]));
      }
      const last = page.at(-1);
      if (last === undefined) break;
      after = [last.id];
    }
    const since = timestamp();
    for (const [id, finding] of open)
      await unlessRaced(this.store.write([insert(drifts, id, { ...finding, since })]));
    return [...open.values()];
  }

  /** Whether the subject was deleted by its users: then what it had in the region will never be requested again. */
  async wasDeleted({ type, id }: { type: SubjectType; id: string }): Promise<boolean> {
    const filter = { subject_id: id, type: deletionOf(type), status: 'succeeded' };
    return (await this.store.page(tasks, { order: 'id', filter, limit: 1 })).length > 0;
  }
}
