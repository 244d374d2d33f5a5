/** How projects come, change and go. Who may see and use them: project.ts; who is in them: member.ts. */
import { uuidv7 } from 'uuidv7';
import { timestamp } from '../model/common.js';
import { ApiError, notFoundAt } from '../model/error.js';
import { merged } from '../model/merge-patch.js';
import type { ProjectCreate, ProjectPatch, ProjectRecord } from '../model/project.js';
import type { Accepted, Caller } from './caller.js';
import { added, modified, removed, withName } from './change.js';
import { instances } from './instance.js';
import { networks } from './network.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { regions } from './region.js';
import { ResourceData } from './resource.js';
import { insert, remove, type Write } from './store/port.js';

const regionLimit = 1000;
/** Maximum number of networks per project, of which each region has one. */
const networkLimit = 1000;

export class ProjectAdminData extends ResourceData {
  /** With a network `default` in each region. It has no members yet. */
  async create(caller: Caller, { metadata, spec }: ProjectCreate): Promise<Accepted> {
    const { organizationId } = spec;
    if ((await this.store.get(organizations, organizationId, caller.signal)) === undefined)
      throw notFoundAt('/spec/organizationId', 'organization');
    const made = { creationTime: timestamp(), createdBy: caller.principal.name };
    const known = await this.store.page(regions, { order: 'id', limit: regionLimit }, caller.signal);
    const project = { organizationId, ...metadata, admins: [], members: [], enabled: true, ...made };
    const adding = added(this.store, projects, caller, project, (projectId) =>
      known.map(({ id: regionId }) =>
        insert(networks, uuidv7(), { organizationId, projectId, regionId, name: 'default', ...made }),
      ),
    );
    return withName(adding, taken(metadata.name));
  }

  patch(caller: Caller, id: string, { metadata = {}, spec = {} }: ProjectPatch): Promise<Accepted> {
    const change = (project: ProjectRecord): ProjectRecord => {
      const { description: _, ...rest } = project;
      const { name = project.name, description } = merged(
        { name: project.name, description: project.description },
        metadata,
      ) as { name?: string; description?: string };
      return {
        ...rest,
        name,
        ...(description === undefined ? {} : { description }),
        enabled: spec.enabled ?? project.enabled,
      };
    };
    return withName(modified(this.store, projects, caller, id, change), taken(metadata.name ?? ''));
  }

  /** With its networks. A project that has instances stays. */
  async delete(caller: Caller, id: string): Promise<void> {
    await this.#refuseWithInstances(caller, id);
    await removed(this.store, projects, caller, id, async (project) => {
      const found = await this.store.page(
        networks,
        { order: 'id', filter: { project_id: id }, limit: networkLimit },
        caller.signal,
      );
      // As late as possible: a create may have been accepted meanwhile.
      await this.#refuseWithInstances(caller, project.id);
      return found.map((network): Write => remove(networks, network));
    });
  }

  async #refuseWithInstances(caller: Caller, id: string): Promise<void> {
    const count = await this.store.count(instances, { filter: { project_id: id } }, caller.signal);
    if (count === 0) return;
    const message = `The project has ${count === 1 ? 'an instance' : `${count} instances`}; delete ${count === 1 ? 'it' : 'them'} first.`;
    throw new ApiError('in_use', message);
  }
}

function taken(name: string): string {
  return `The organization already has a project named "${name}".`;
}
