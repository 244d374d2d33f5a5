/** Entries of the journal. */
import type { Change } from '../port.js';
import type { StoredDocument } from './documents.js';

/** From one version of a document to the next; guarded by the stamp, so it happens once. */
export interface Step {
  collection: string;
  id: string;
  /** Stamp of the previous version; null if the id is free. */
  from: string | null;
  to: StoredDocument | null;
}

/** A change in an entry: its text is that of its step. */
export interface LoggedStep extends Pick<Change, 'op' | 'revision' | 'scope'> {
  step: number;
}

export interface Entry {
  /** The number, padded so that texts sort like numbers. */
  _id: string;
  /** Lets the writer recognise an entry of unknown outcome as its own. */
  token: string;
  /** Milliseconds since 1970. */
  time: number;
  applied: boolean;
  /** The heartbeat of the writer while it applies the entry, if that takes long. */
  beat?: number;
  /** Last position of the change log once it is applied. */
  last: number;
  steps?: Step[];
  changes?: LoggedStep[];
}

/** The latest entry that is known to be applied. */
export interface Head {
  number: number;
  last: number;
}

export const entryId = (number: number): string => String(number).padStart(16, '0');
