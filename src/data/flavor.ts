import type { Flavor } from '../model/flavor.js';
import type { Caller } from './caller.js';
import type { RegionData } from './region.js';

export class FlavorData {
  readonly #regions: RegionData;

  constructor(regions: RegionData) {
    this.#regions = regions;
  }

  /** The region's flavors that instances can have, as the caller sees them. An unknown region or organization: `not_found`. */
  async list(caller: Caller, organizationId: string, regionId: string): Promise<Flavor[]> {
    const principal = await this.#regions.impersonate(caller, organizationId);
    const flavors = await this.#regions.ask(caller, regionId, (provider) =>
      provider.listFlavors(principal, caller.signal),
    );
    return flavors.filter(({ spec }) => spec.pinnedOnly !== true);
  }

  /** One of them, through any of the caller's organizations. */
  get(caller: Caller, regionId: string, id: string): Promise<Flavor> {
    return this.#regions.first(caller, id, (organizationId) => this.list(caller, organizationId, regionId));
  }
}
