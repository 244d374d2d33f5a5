import type { Image } from '../model/image.js';
import type { Caller } from './caller.js';
import type { RegionData } from './region.js';

export class ImageData {
  readonly #regions: RegionData;

  constructor(regions: RegionData) {
    this.#regions = regions;
  }

  /** The region's images that are ready, as the caller sees them. An unknown region or organization: `not_found`. */
  async list(caller: Caller, organizationId: string, regionId: string): Promise<Image[]> {
    const principal = await this.#regions.impersonate(caller, organizationId);
    const images = await this.#regions.ask(caller, regionId, (provider) =>
      provider.listImages(principal, caller.signal),
    );
    return images.filter((image) => image.status.state === 'ready');
  }

  /** One of them, through any of the caller's organizations. */
  get(caller: Caller, regionId: string, id: string): Promise<Image> {
    return this.#regions.first(caller, id, (organizationId) => this.list(caller, organizationId, regionId));
  }
}
