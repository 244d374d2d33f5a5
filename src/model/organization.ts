/** Who owns projects and pays for them. */
export interface OrganizationRecord {
  name: string;
  creationTime: string;
  createdBy: string;
}
