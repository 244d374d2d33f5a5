/** The revisions of a resource: the current one, and the one that last changed what users may write. */
export interface Standing {
  readonly revision: number;
  readonly wishRevision: number;
}
