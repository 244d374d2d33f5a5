/** Prefetches of this API: from the path's resource to the project that decides about access. */
import type { Connector } from '../data/connector.js';
import { isAdmin, isMember } from '../model/project.js';
import type { PrefetchFunc } from './pipeline/route-manager.js';

/**
 * Sets the project context of the instance, task or project that the path names. An absent one leaves the context
 * without a project, which ProjectMember answers with the same 404 as a hidden one.
 */
export const prefetchProjectContext: PrefetchFunc<Connector> = async (context, connector, params) => {
  const projectId = await projectOf(connector, params, context.signal);
  const project =
    projectId === undefined ? undefined : await connector.projects.load(projectId, context.signal);
  if (project === undefined) return context;
  const { id, value } = project;
  return {
    ...context,
    project: {
      id,
      isMember: (userId) => isMember(value, userId),
      isAdmin: (userId) => isAdmin(value, userId),
    },
  };
};

async function projectOf(
  connector: Connector,
  params: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { instanceID, task_id, projectID } = params;
  if (instanceID !== undefined) return connector.instances.projectOf(instanceID, signal);
  if (task_id !== undefined) return connector.tasks.projectOf(task_id, signal);
  return projectID;
}
