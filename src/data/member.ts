/** Who is in a project. Changes take effect with the next request, in every process. */
import { notFound, notFoundAt, ApiError } from '../model/error.js';
import { type Member, memberIn, membersOf, withMember } from '../model/member.js';
import { type ProjectRecord, roleIn } from '../model/project.js';
import { type ProjectRole, projectRoles } from '../model/role.js';
import { arrayPage } from './array-page.js';
import type { CurrentUser } from '../model/user.js';
import type { Caller } from './caller.js';
import { modified } from './change.js';
import { projects } from './project.js';
import { ResourceData } from './resource.js';
import type { ListPage, TextPage } from './store/port.js';
import { users } from './user.js';

export class MemberData extends ResourceData {
  /** The strongest role first; in a role by the ids of the users. `role`: only these. */
  async list(caller: Caller, projectId: string, page: ListPage, role?: ProjectRole): Promise<TextPage> {
    const members = membersOf((await this.projects.get(caller, projectId)).value);
    const wanted = members.filter((member) => role === undefined || member.role === role);
    return arrayPage(wanted, (member) => [-projectRoles.indexOf(member.role), member.userId], page);
  }

  /** Makes a user an admin, whether or not they are in the project. */
  async addOwner(caller: Caller, projectId: string, userId: string): Promise<Member> {
    if ((await this.store.get(users, userId, caller.signal)) === undefined)
      throw notFoundAt('/userId', 'user');
    await this.#change(caller, projectId, userId, 'update', (project) => {
      if (roleIn(project, userId) !== 'admin') return withMember(project, userId, 'admin');
      const message = 'The user is an owner already.';
      throw new ApiError('already_exists', message, { errors: [{ pointer: '/userId', message }] });
    });
    return { userId, role: 'admin' };
  }

  /** Removes an admin from the project; a member in another role is none. */
  async removeOwner(caller: Caller, projectId: string, userId: string): Promise<void> {
    await this.#change(caller, projectId, userId, 'remove', (project) => {
      if (roleIn(project, userId) !== 'admin') throw notFound();
      return withMember(project, userId, undefined);
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

  /** Adds a user who is not in the project yet. */
  async add(caller: Caller, projectId: string, { userId, role }: Member): Promise<Member> {
    if ((await this.store.get(users, userId, caller.signal)) === undefined)
      throw notFoundAt('/userId', 'user');
    await this.#change(caller, projectId, userId, 'add', (project) => {
      const known = roleIn(project, userId);
      if (known === undefined) return withMember(project, userId, role);
      const message = `The user is already a member of the project, as ${known}; use PUT to change the role.`;
      throw new ApiError('already_exists', message, { errors: [{ pointer: '/userId', message }] });
    });
    return { userId, role };
  }

  async change(caller: Caller, projectId: string, userId: string, role: ProjectRole): Promise<Member> {
    await this.#changeMember(caller, projectId, userId, role);
    return { userId, role };
  }

  async remove(caller: Caller, projectId: string, userId: string): Promise<void> {
    await this.#changeMember(caller, projectId, userId, undefined);
  }

  async #changeMember(
    caller: Caller,
    projectId: string,
    userId: string,
    role: ProjectRole | undefined,
  ): Promise<void> {
    const verb = role === undefined ? 'remove' : 'update';
    await this.#change(caller, projectId, userId, verb, (project) => {
      if (roleIn(project, userId) === undefined) throw notFound();
      return withMember(project, userId, role);
    });
  }

  /** The audit trail has the member alone: a project may have very many. */
  async #change(
    caller: Caller,
    projectId: string,
    userId: string,
    verb: 'add' | 'update' | 'remove',
    change: (project: ProjectRecord) => ProjectRecord,
  ): Promise<void> {
    await modified(this.store, projects, caller, projectId, change, (before, after) => ({
      action: `member.${verb}`,
      resource: { type: 'member', id: projectId },
      before: memberIn(before, userId),
      after: memberIn(after, userId),
    }));
  }
}
