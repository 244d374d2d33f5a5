import { ApiError, notFound, notFoundAt } from '../model/error.js';
import { type NetworkRecord, presentNetwork } from '../model/network.js';
import type { Caller } from './caller.js';
import type { ProjectData } from './project.js';
import { ResourceData } from './resource.js';
import { ReadCache } from './store/cache.js';
import type { CollectionSpec, Document, ListPage, Store, TextPage } from './store/port.js';

export const networks: CollectionSpec<NetworkRecord> = {
  name: 'networks',
  columns: { project_id: 'text', region_id: 'text', name: 'text' },
  columnsOf: (_id, network) => ({
    project_id: network.projectId,
    region_id: network.regionId,
    name: network.name,
  }),
  present: presentNetwork,
  unique: { name: ['project_id', 'region_id', 'name'] },
  orders: { id: [] },
  indexes: [['project_id']],
};

export class NetworkData extends ResourceData {
  /** The network `default` of a project in a region, which most creates use. */
  readonly #defaults: ReadCache<Document<NetworkRecord>>;

  constructor(store: Store, projects: ProjectData) {
    super(store, projects);
    this.#defaults = new ReadCache(store, [networks.name]);
  }

  list(caller: Caller, page: ListPage): Promise<TextPage> {
    return this.projects.contents(networks, caller, {}, page);
  }

  /** A network of a project that the caller may use; otherwise `not_found`. */
  async get(caller: Caller, id: string): Promise<Document<NetworkRecord>> {
    const network = await this.store.get(networks, id, caller.signal);
    if (network === undefined) throw notFound();
    await this.projects.get(caller, network.value.projectId);
    return network;
  }

  /**
   * The network of a create: the given one, or the project's `default` in the given region. Absent, or of another
   * project: `not_found`, with the place in the body, since Unikorn passes on a failed read of the network.
   */
  async choose(
    caller: Caller,
    projectId: string,
    wanted: { networkId?: string | undefined; regionId?: string | undefined },
  ): Promise<Document<NetworkRecord>> {
    const { networkId, regionId } = wanted;
    if (networkId !== undefined) {
      const network = await this.store.get(networks, networkId, caller.signal);
      if (network?.value.projectId !== projectId)
        throw notFoundAt('/spec/networkId', 'network of the project');
      if (regionId !== undefined && network.value.regionId !== regionId) {
        const message = 'The network is in another region; omit regionId or networkId.';
        throw new ApiError('invalid_body', message, { errors: [{ pointer: '/spec/regionId', message }] });
      }
      return network;
    }
    if (regionId === undefined) {
      const message = 'Set networkId, or regionId for the default network of that region.';
      throw new ApiError('invalid_body', message, { errors: [{ pointer: '/spec/networkId', message }] });
    }
    const network = await this.#defaults.read(`${projectId} ${regionId}`, () =>
      this.store.find(networks, 'name', [projectId, regionId, 'default'], caller.signal),
    );
    if (network === undefined)
      throw notFoundAt('/spec/regionId', 'region with a network `default` of the project');
    return network;
  }
}
