/** Entries of the journal. */
import type { Change } from '../port.js';
import type { StoredDocument } from './documents.js';

/** From one version of a document to the next; guarded by the stamp, so that it happens once. */
export interface Step {
  collection: string;
  id: string;
  /** Stamp of the version before; null where the id is free. */
  from: string | null;
  to: StoredDocument | null;
}

/** A change as an entry has it: its text is that of its step. */
export interface LoggedStep extends Pick<Change, 'op' | 'revision' | 'scope'> {
  step: number;
}

export interface Entry {
  /** The number, so padded that texts sort as numbers do. */
  _id: string;
  /** Tells the writer whether an entry of unknown outcome is its own. */
  token: string;
  /** Milliseconds since 1970. */
  time: number;
  applied: boolean;
  /** Changes while its writer lives and applies it, if that takes long. */
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
