/** Who is in a project or an organization, with which role. */
import { Type, type Static } from 'typebox';
import { Uuid } from './common.js';
import { ApiError } from './error.js';
import { type Peopled, peopleIn, roleIn } from './project.js';
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

export function memberIn(project: Peopled, userId: string): Member | null {
  const role = roleIn(project, userId);
  return role === undefined ? null : { userId, role };
}

/** Maximum number of members, so that what they are in stays a small document. */
const memberLimit = 1000;

/** The members, the strongest role first. */
export function membersOf({ admins = [], members = [], readers = [] }: Peopled): Member[] {
  const all: Member[] = [];
  const add = (role: ProjectRole, ids: readonly string[]) => {
    for (const userId of ids) if (!all.some((one) => one.userId === userId)) all.push({ userId, role });
  };
  add('admin', admins);
  add('operator', members);
  add('reader', readers);
  return all;
}

/** With the user in this role; undefined: without the user. Throws if the last admin would be lost. */
export function withMember<P extends Peopled>(project: P, userId: string, role: ProjectRole | undefined): P {
  const { readers: _, ...rest } = project;
  const kept = (ids: readonly string[] = [], own: ProjectRole) => {
    const others = ids.filter((id) => id !== userId);
    // One who stays keeps their place.
    return role === own ? (ids.includes(userId) ? [...ids] : [...others, userId]) : others;
  };
  const admins = kept(project.admins, 'admin');
  if (admins.length === 0 && (project.admins ?? []).length > 0)
    throw new ApiError('in_use', 'There must be at least one admin; make someone else an admin first.');
  const readers = kept(project.readers, 'reader');
  const next = {
    ...rest,
    admins,
    members: kept(project.members, 'operator'),
    ...(readers.length === 0 ? {} : { readers }),
  };
  if (roleIn(project, userId) === undefined && peopleIn(next).length > memberLimit)
    throw new ApiError('unprocessable', `There are at most ${memberLimit} members.`);
  return next as unknown as P;
}
