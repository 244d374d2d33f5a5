/** Who is in a project, with which role. */
import { Type, type Static } from 'typebox';
import { Uuid } from './common.js';
import { ApiError } from './error.js';
import { type ProjectRecord, roleIn } from './project.js';
import type { ProjectRole } from './role.js';

export const Role = Type.Union([Type.Literal('reader'), Type.Literal('operator'), Type.Literal('admin')], {
  description: 'What the member may do: docs/roles.md.',
});

export const Member = Type.Object(
  { userId: Uuid, role: Role },
  { title: 'Member', additionalProperties: false },
);
export type Member = Static<typeof Member>;

export const MemberUpdate = Type.Object(
  { role: Role },
  { title: 'MemberUpdate', additionalProperties: false },
);

/** Who is named an owner, and with it an admin. */
export const Owner = Type.Object({ userId: Uuid }, { title: 'Owner', additionalProperties: false });

export function memberIn(project: ProjectRecord, userId: string): Member | null {
  const role = roleIn(project, userId);
  return role === undefined ? null : { userId, role };
}

/** Maximum number of members, so that a project stays a small document. */
const memberLimit = 1000;

/** The members of the project, the strongest role first. */
export function membersOf({ admins, members, readers = [] }: ProjectRecord): Member[] {
  const all: Member[] = [];
  const add = (role: ProjectRole, ids: readonly string[]) => {
    for (const userId of ids) if (!all.some((one) => one.userId === userId)) all.push({ userId, role });
  };
  add('admin', admins);
  add('operator', members);
  add('reader', readers);
  return all;
}

/** The project with the user in this role; undefined: without the user. Throws if it would lose its last admin. */
export function withMember(
  project: ProjectRecord,
  userId: string,
  role: ProjectRole | undefined,
): ProjectRecord {
  const { readers: _, ...rest } = project;
  const kept = (ids: readonly string[] = [], own: ProjectRole) => {
    const others = ids.filter((id) => id !== userId);
    // One who stays keeps their place.
    return role === own ? (ids.includes(userId) ? [...ids] : [...others, userId]) : others;
  };
  const admins = kept(project.admins, 'admin');
  if (admins.length === 0 && project.admins.length > 0)
    throw new ApiError('in_use', 'A project must have at least one admin; make someone else an admin first.');
  const readers = kept(project.readers, 'reader');
  const next = {
    ...rest,
    admins,
    members: kept(project.members, 'operator'),
    ...(readers.length === 0 ? {} : { readers }),
  };
  if (roleIn(project, userId) === undefined && membersOf(next).length > memberLimit)
    throw new ApiError('unprocessable', `A project has at most ${memberLimit} members.`);
  return next;
}
