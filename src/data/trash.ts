/** Instances that are deleted, and kept for a while with their machine: docs/trash.md. */
import { timestamp } from '../model/common.js';
import { ApiError } from '../model/error.js';
import type { InstanceRecord } from '../model/instance.js';

/** How an instance is deleted. */
export interface DeleteOptions {
  /** At once, without the trash. */
  purge?: boolean;
  /** Checked in the same step as the change. */
  still?: (instance: InstanceRecord) => boolean;
}

/** Throws if the instance is protected from deletion. */
export function checkUnprotected({ deletionProtection }: InstanceRecord): void {
  if (deletionProtection !== true) return;
  const message = 'The instance is protected from deletion; set spec.deletionProtection to false first.';
  throw new ApiError('deletion_protected', message);
}

/** Whether it is in the trash; one that could not be brought there is not. */
export function isInTrash({ trashedUntil, provisioning }: InstanceRecord): boolean {
  return trashedUntil !== undefined && provisioning.status !== 'error';
}

/** The record on its way to the trash. `keep`: ms. */
export function trashed(instance: InstanceRecord, keep: number): InstanceRecord {
  return { ...instance, trashedUntil: timestamp(new Date(Date.now() + keep)) };
}

/** The record as it was before it came into the trash. */
export function untrashed({
  deletionTime,
  trashedUntil,
  trashTaskId,
  ...instance
}: InstanceRecord): InstanceRecord {
  if (trashedUntil !== undefined) return instance;
  const what = deletionTime === undefined ? 'is not deleted' : 'is being deleted for good';
  throw new ApiError('not_trashed', `The instance ${what}; there is nothing to restore.`);
}

/** For a delete that nobody waits for: the instance is gone already, or protected, which its user has set later. */
export function unlessMoot(error: unknown): void {
  const moot = error instanceof ApiError && ['not_found', 'deletion_protected'].includes(error.code);
  if (!moot) throw error;
}
