/** Who is in a project or an organization. Changes take effect with the next request, in every process. */
import { ApiError, notFound, notFoundAt, orNotFound } from '../model/error.js';
import { type Member, memberIn, membersOf, withMember } from '../model/member.js';
import { type Peopled, roleIn } from '../model/project.js';
import { type ProjectRole, projectRoles } from '../model/role.js';
import type { CurrentUser } from '../model/user.js';
import { arrayPage } from './array-page.js';
import type { Caller } from './caller.js';
import { type AuditedCollection, type Changeable, modified } from './change.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { ResourceData } from './resource.js';
import type { ListPage, TextPage } from './store/port.js';
import { users } from './user.js';

type PeopledCollection = AuditedCollection<Peopled & Changeable>;

export type PeopledType = 'project' | 'organization';

/** Each type of resources that has members; in the audit trail they are of the type `auditedAs`. */
export const peopled: Readonly<Record<PeopledType, { collection: PeopledCollection; auditedAs: string }>> = {
  project: { collection: projects, auditedAs: 'member' },
  organization: { collection: organizations, auditedAs: 'organization_member' },
};

/** A resource that has members. */
export interface Peopling {
  type: PeopledType;
  id: string;
}

export class MemberData extends ResourceData {
  /** The strongest role first; in a role by the ids of the users. `role`: only these. */
  async list(caller: Caller, { type, id }: Peopling, page: ListPage, role?: ProjectRole): Promise<TextPage> {
    const found = orNotFound(await this.store.get(peopled[type].collection, id, caller.signal));
    const wanted = membersOf(found.value).filter((member) => role === undefined || member.role === role);
    return arrayPage(wanted, (member) => [-projectRoles.indexOf(member.role), member.userId], page);
  }

  /** Adds a user who is not in it yet. */
  async add(caller: Caller, to: Peopling, { userId, role }: Member): Promise<Member> {
    await this.#demandUser(caller, userId);
    return this.#change(caller, to, userId, 'add', (found) => {
      const known = roleIn(found, userId);
      if (known === undefined) return withMember(found, userId, role);
      throw already(
        `The user is already a member of the ${to.type}, as ${known}; use PUT to change the role.`,
      );
    });
  }

  /** Makes a user an admin, whether or not they are in it. */
  async addOwner(caller: Caller, to: Peopling, userId: string): Promise<Member> {
    await this.#demandUser(caller, userId);
    return this.#change(caller, to, userId, 'update', (found) => {
      if (roleIn(found, userId) !== 'admin') return withMember(found, userId, 'admin');
      throw already('The user is an owner already.');
    });
  }

  change(caller: Caller, of: Peopling, userId: string, role: ProjectRole): Promise<Member> {
    return this.#change(caller, of, userId, 'update', (found) => {
      if (roleIn(found, userId) === undefined) throw notFound();
      return withMember(found, userId, role);
    });
  }

  /** `role`: only one in this role; others are none. */
  async remove(caller: Caller, from: Peopling, userId: string, role?: ProjectRole): Promise<void> {
    await this.#change(caller, from, userId, 'remove', (found) => {
      const known = roleIn(found, userId);
      if (known === undefined || (role !== undefined && known !== role)) throw notFound();
      return withMember(found, userId, undefined);
    });
  }

  /** The projects of the caller, as far as their credential shows them. */
  async memberships(caller: Caller): Promise<CurrentUser['status']['projects']> {
    const visible = await this.projects.visible(caller);
    return visible.flatMap(({ id: projectId, value }) => {
      const role = roleIn(value, caller.principal.id);
      const { organizationId, name } = value;
      return role === undefined ? [] : [{ projectId, organizationId, name, role }];
    });
  }

  async #demandUser(caller: Caller, userId: string): Promise<void> {
    if ((await this.store.get(users, userId, caller.signal)) === undefined)
      throw notFoundAt('/userId', 'user');
  }

  /** The audit trail has the member alone: there may be very many. */
  async #change(
    caller: Caller,
    { type, id }: Peopling,
    userId: string,
    verb: 'add' | 'update' | 'remove',
    change: (found: Peopled & Changeable) => Peopled & Changeable,
  ): Promise<Member> {
    const { collection, auditedAs } = peopled[type];
    let role: ProjectRole = 'reader';
    await modified(
      this.store,
      collection,
      caller,
      id,
      (found) => {
        const next = change(found);
        role = roleIn(next, userId) ?? role;
        return next;
      },
      (before, after) => ({
        action: `${auditedAs}.${verb}`,
        resource: { type: auditedAs, id },
        before: memberIn(before, userId),
        after: memberIn(after, userId),
      }),
    );
    return { userId, role };
  }
}

function already(message: string): ApiError {
  return new ApiError('already_exists', message, { errors: [{ pointer: '/userId', message }] });
}
