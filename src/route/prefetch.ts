/** Prefetches of this API: from the resource in the path to the project that decides about access. */
import type { Connector } from '../data/connector.js';
import type { StoredText } from '../data/store/port.js';
import type { Interruption } from '../model/interruption.js';
import { type ProjectRecord, rightsIn, roleIn } from '../model/project.js';
import { type Limits, rightsOf } from '../model/role.js';
import { siteId } from '../model/task.js';
import type { ProjectContext, User } from './pipeline/context.js';
import type { PrefetchFunc } from './pipeline/route-manager.js';

/** Reads a resource together with the id of its project, as `column`. */
export type ReadForAccess = (
  connector: Connector,
  id: string,
  interruption: Interruption,
) => Promise<StoredText | undefined>;

/** Whether a resource is within the limits of a credential, besides its project. */
export type IsWithin = (
  connector: Connector,
  limits: Limits,
  found: StoredText & { id: string },
  user: User,
) => Promise<boolean> | boolean;

/**
 * Finds the resource named by a path parameter, and the project that it belongs to. If it is absent, or outside the
 * limits of the caller's credential, the context has no project, which ProjectMember treats with the same 404 as a
 * hidden one.
 */
export function prefetchProjectContext(
  parameter: string,
  read: ReadForAccess,
  isWithin?: IsWithin,
): PrefetchFunc<Connector> {
  return async ({ interruption, user }, connector, params) => {
    const id = idIn(params, parameter);
    const found = await read(connector, id, interruption);
    if (found === undefined) return undefined;
    if (user?.limits !== undefined && isWithin !== undefined) {
      if (!(await isWithin(connector, user.limits, { id, ...found }, user))) return undefined;
    }
    if (found.column === null) return { found, project: ofTheSite };
    const project = await connector.projects.load(String(found.column), interruption);
    return project && { found, project: contextOf(project) };
  };
}

/** What belongs to no project is the site's: only superusers see it. */
const ofTheSite: ProjectContext = {
  id: siteId,
  rightsOf: (user) => rightsOf(user, undefined, siteId),
};

/** The project named by `projectID` in the path. */
export const projectInPath: PrefetchFunc<Connector> = async ({ interruption }, connector, params) => {
  const project = await connector.projects.load(idIn(params, 'projectID'), interruption);
  return project && { project: contextOf(project) };
};

/**
 * The organization named by `organizationID` in the path, as what the right is demanded in: it counts what the caller is
 * in the organization, and not in its projects.
 */
export const organizationInPath: PrefetchFunc<Connector> = async ({ interruption }, connector, params) => {
  const id = idIn(params, 'organizationID');
  const found = await connector.organizations.load(id, interruption);
  if (found === undefined) return undefined;
  return {
    project: {
      id,
      // A limited credential belongs to projects only.
      rightsOf: (user) => (user.limits === undefined ? rightsOf(user, roleIn(found.value, user.id), id) : []),
    },
  };
};

/** The user whom `userID` of the path names, whether or not there is one. */
export const userInPath: PrefetchFunc<Connector> = (_context, _connector, params) =>
  Promise.resolve({ ownerId: idIn(params, 'userID') });

function idIn(params: Readonly<Record<string, string>>, parameter: string): string {
  const id = params[parameter];
  if (id === undefined)
    throw new Error(`The path of the route has no {${parameter}}, which its guard needs.`);
  return id;
}

function contextOf(project: { id: string; value: ProjectRecord }): ProjectContext {
  return { id: project.id, rightsOf: (user) => rightsIn(project, user) };
}
