/** How projects come, change and go. Who may see and use them: project.ts; who is in them: member.ts. */
import { uuidv7 } from 'uuidv7';
import { timestamp } from '../model/common.js';
import { ApiError, notFound, notFoundAt } from '../model/error.js';
import { merged } from '../model/merge-patch.js';
import type { ProjectCreate, ProjectPatch, ProjectRecord } from '../model/project.js';
import { audited } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { added, modified, withName } from './change.js';
import { instances } from './instance.js';
import { eraseLabelsOf } from './label.js';
import { networks } from './network.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { quotas } from './quota.js';
import { regions } from './region.js';
import { ResourceData } from './resource.js';
import { storedImages } from './stored-image.js';
import { type Document, insert, remove, replace, type Write } from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';

const regionLimit = 1000;
/** Maximum number of networks per project, of which each region has one. */
const networkLimit = 1000;

/** What a project must not have when it is deleted. */
const contents = [
  [instances, 'instance'],
  [storedImages, 'image'],
] as const;

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
      // A change reopens a project whose deletion has died.
      const { description: _, deletionTime: _deletion, ...rest } = project;
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

  /**
   * With its networks. A project that has instances or images stays. It is marked first: a create that has found it unmarked is
   * refused by the check in its own batch, so that what is counted after the mark is all that there will be.
   */
  async delete(caller: Caller, id: string): Promise<void> {
    await this.#refuseWithContents(caller, id);
    await this.#mark(caller, id);
    // From here to the end, even if the client leaves.
    const steadfast = { ...caller, signal: new AbortController().signal };
    let emptied = false;
    await retrying(async () => {
      const project = await this.#marked(id);
      try {
        await this.#refuseWithContents(steadfast, id);
      } catch (error) {
        const { deletionTime: _, ...open } = project.value;
        await unlessRaced(this.store.write([replace(projects, project, open)]));
        throw error;
      }
      // From the mark on no label is made, and what the project does not hold, such as a user, may have some of them.
      if (!emptied) await eraseLabelsOf(this.store, steadfast, id);
      emptied = true;
      const { deletionTime: _, ...before } = project.value;
      const resource = { type: projects.auditedAs, id };
      const audit = await audited(this.store, caller, 'project.delete', resource, before, null);
      const quota = await this.store.get(quotas, id);
      const others = [
        ...(await this.#networksOf(id)),
        ...(quota === undefined ? [] : [remove(quotas, quota)]),
      ];
      await this.store.write([remove(projects, project), ...others, ...audit]);
    });
  }

  #mark(caller: Caller, id: string): Promise<void> {
    return retrying(async () => {
      const found = await this.store.get(projects, id, caller.signal);
      if (found === undefined) throw notFound();
      caller.precondition?.({ revision: found.revision, wishRevision: found.revision });
      // Another deletion is under way, or has died: this one completes it.
      if (found.value.deletionTime !== undefined) return;
      const marked = { ...found.value, deletionTime: timestamp() };
      await this.store.write([replace(projects, found, marked)], caller.signal);
    });
  }

  async #marked(id: string): Promise<Document<ProjectRecord>> {
    const found = await this.store.get(projects, id);
    if (found === undefined) throw notFound();
    if (found.value.deletionTime === undefined)
      throw new ApiError('conflict', 'The project was changed while it was being deleted.');
    return found;
  }

  async #networksOf(id: string): Promise<Write[]> {
    const query = { order: 'id', filter: { project_id: id }, limit: networkLimit };
    return (await this.store.page(networks, query)).map((network) => remove(networks, network));
  }

  async #refuseWithContents(caller: Caller, id: string): Promise<void> {
    for (const [collection, what] of contents) {
      const count = await this.store.count(collection, { filter: { project_id: id } }, caller.signal);
      if (count === 0) continue;
      const message = `The project has ${count === 1 ? `an ${what}` : `${count} ${what}s`}; delete ${count === 1 ? 'it' : 'them'} first.`;
      throw new ApiError('in_use', message);
    }
  }
}

function taken(name: string): string {
  return `The organization already has a project named "${name}".`;
}
