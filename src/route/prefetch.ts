/** Prefetches of this API: from what the path names to the project that decides about access. */
import type { Connector } from '../data/connector.js';
import type { StoredText } from '../data/store/port.js';
import type { Interruption } from '../model/interruption.js';
import { isAdmin, isMember, type ProjectRecord } from '../model/project.js';
import type { ProjectContext } from './pipeline/context.js';
import type { PrefetchFunc } from './pipeline/route-manager.js';

/** Reads a resource together with the id of its project, which is its `column`. */
export type ReadForAccess = (
  connector: Connector,
  id: string,
  interruption: Interruption,
) => Promise<StoredText | undefined>;

/**
 * Finds the resource that a parameter of the path names, and the project that it belongs to. An absent one leaves the context
 * without a project, which ProjectMember answers with the same 404 as a hidden one.
 */
export function prefetchProjectContext(parameter: string, read: ReadForAccess): PrefetchFunc<Connector> {
  return async ({ interruption }, connector, params) => {
    const found = await read(connector, idIn(params, parameter), interruption);
    if (found === undefined) return undefined;
    const project = await connector.projects.load(String(found.column), interruption);
    return project && { found, project: contextOf(project) };
  };
}

/** The project that `projectID` of the path names. */
export const projectInPath: PrefetchFunc<Connector> = async ({ interruption }, connector, params) => {
  const project = await connector.projects.load(idIn(params, 'projectID'), interruption);
  return project && { project: contextOf(project) };
};

function idIn(params: Readonly<Record<string, string>>, parameter: string): string {
  const id = params[parameter];
  if (id === undefined)
    throw new Error(`The path of the route has no {${parameter}}, which its guard needs.`);
  return id;
}

function contextOf({ id, value }: { id: string; value: ProjectRecord }): ProjectContext {
  return { id, isMember: (userId) => isMember(value, userId), isAdmin: (userId) => isAdmin(value, userId) };
}
