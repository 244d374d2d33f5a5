/** Prefetches of this API: from the path's resource to the project that decides about access. */
import type { Connector } from '../data/connector.js';
import type { StoredText } from '../data/store/port.js';
import { isAdmin, isMember } from '../model/project.js';
import type { Interruption } from '../model/interruption.js';
import type { PrefetchFunc } from './pipeline/route-manager.js';

/**
 * Finds the instance or task that the path names, and the project that it belongs to. An absent one leaves the context
 * without a project, which ProjectMember answers with the same 404 as a hidden one.
 */
export const prefetchProjectContext: PrefetchFunc<Connector> = async (
  { interruption },
  connector,
  params,
) => {
  const found = await foundBy(connector, params, interruption);
  const projectId = found === undefined ? params['projectID'] : String(found.column);
  const project =
    projectId === undefined ? undefined : await connector.projects.load(projectId, interruption);
  if (project === undefined) return undefined;
  const { id, value } = project;
  return {
    found,
    project: {
      id,
      isMember: (userId) => isMember(value, userId),
      isAdmin: (userId) => isAdmin(value, userId),
    },
  };
};

async function foundBy(
  connector: Connector,
  { instanceID, taskID }: Readonly<Record<string, string>>,
  interruption: Interruption,
): Promise<StoredText | undefined> {
  if (instanceID !== undefined) return connector.instances.readForAccess(instanceID, interruption);
  if (taskID !== undefined) return connector.tasks.readForAccess(taskID, interruption);
  return undefined;
}
