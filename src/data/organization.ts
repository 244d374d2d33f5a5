import { defined, timestamp } from '../model/common.js';
import { notFound } from '../model/error.js';
import { merged } from '../model/merge-patch.js';
import {
  type OrganizationCreate,
  type OrganizationPatch,
  type OrganizationRecord,
  presentOrganization,
} from '../model/organization.js';
import type { Interruption } from '../model/interruption.js';
import { peopleIn, roleIn } from '../model/project.js';
import { projectsBeyondMembership } from '../model/role.js';
import type { Accepted, Caller } from './caller.js';
import { added, type AuditedCollection, modified, withName } from './change.js';
import { ResourceData } from './resource.js';
import type { Document, ListPage, TextPage } from './store/port.js';

export const organizations: AuditedCollection<OrganizationRecord> = {
  name: 'organizations',
  auditedAs: 'organization',
  columns: { name: 'text', labels: 'set', people: 'set' },
  columnsOf: (_id, organization) => ({
    name: organization.name,
    labels: organization.labels ?? [],
    people: peopleIn(organization),
  }),
  present: presentOrganization,
  unique: { name: ['name'] },
  orders: { id: [] },
};

/** Maximum number of organizations for a superuser. */
const organizationLimit = 1000;

export class OrganizationData extends ResourceData {
  /** The caller's organizations, through projects; all of them for a superuser. */
  async visible(caller: Caller): Promise<string[]> {
    if (projectsBeyondMembership(caller.principal) === 'all') {
      const all = await this.store.page(
        organizations,
        { order: 'id', limit: organizationLimit },
        caller.signal,
      );
      return all.map((organization) => organization.id);
    }
    const projects = await this.projects.visible(caller);
    return [...new Set(projects.map((project) => project.value.organizationId))];
  }

  /** All organizations; `labels`: that have all of them. No visibility check. */
  list(caller: Caller, page: ListPage, labels: readonly string[] = []): Promise<TextPage> {
    return this.store.pageTexts(organizations, { ...page, has: { labels } }, caller.signal);
  }

  create(caller: Caller, { metadata }: OrganizationCreate): Promise<Accepted> {
    const value = { ...metadata, creationTime: timestamp(), createdBy: caller.principal.name };
    const taken = `There is already an organization named "${metadata.name}".`;
    return withName(added(this.store, organizations, caller, value), taken);
  }

  patch(caller: Caller, id: string, { metadata = {} }: OrganizationPatch): Promise<Accepted> {
    const change = ({ description: old, ...rest }: OrganizationRecord): OrganizationRecord => {
      const { name, description } = merged({ name: rest.name, description: old }, metadata) as {
        name: string;
        description?: string;
      };
      return { ...rest, name, ...defined({ description }) };
    };
    const taken = `There is already an organization named "${metadata.name ?? ''}".`;
    return withName(modified(this.store, organizations, caller, id, change), taken);
  }

  /** Undefined if absent. No visibility check. */
  load(id: string, signal?: Interruption): Promise<Document<OrganizationRecord> | undefined> {
    return this.store.get(organizations, id, signal);
  }

  /** An organization that the caller is in, or belongs to through a project; otherwise `not_found`. */
  async get(caller: Caller, id: string): Promise<Document<OrganizationRecord>> {
    const organization = await this.store.get(organizations, id, caller.signal);
    if (organization === undefined) throw notFound();
    if (projectsBeyondMembership(caller.principal) === 'all') return organization;
    const { id: userId, limits } = caller.principal;
    if (limits === undefined && roleIn(organization.value, userId) !== undefined) return organization;
    const projects = await this.projects.visible(caller);
    if (!projects.some((project) => project.value.organizationId === id)) throw notFound();
    return organization;
  }
}
