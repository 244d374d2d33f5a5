import { isDeepStrictEqual } from 'node:util';
import type { HealthStatus } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import type { ImageRecord } from '../model/stored-image.js';
import type { Region, RegionFeatures, RegionType } from '../model/region.js';
import { RegionError, type RegionPrincipal, type RegionProvider } from '../region/provider.js';
import type { Caller } from './caller.js';
import type { OrganizationData } from './organization.js';
import type { ProjectData } from './project.js';
import { type CollectionSpec, type Document, replace, type Store } from './store/port.js';
import { retrying } from './store/retry.js';
import { type ImagePlace, isSeenIn, storedImages } from './stored-image.js';

export interface RegionRecord {
  name: string;
  type: RegionType;
  creationTime: string;
  /** Of its provider, as of the last start. */
  features?: RegionFeatures;
  /** Identity of the folder or file with its machines, set when it was first opened. */
  identity?: string;
}

export const regions: CollectionSpec<RegionRecord> = {
  name: 'regions',
  columns: { name: 'text' },
  columnsOf: (_id, region) => ({ name: region.name }),
  unique: { name: ['name'] },
  orders: { id: [] },
};

/** A region that can be called: this process drives it, or knows the worker that does. */
export interface OpenRegion {
  id: string;
  name: string;
  creationTime: string;
  provider: RegionProvider;
}

/** A region was about to be opened on another folder, which does not contain its machines. */
export class ForeignRegion extends Error {
  override readonly name = 'ForeignRegion';

  constructor(region: string) {
    super(
      `According to the store, the machines of region ${region} are in another data folder than this one. ` +
        'Start it with its previous folder (--data-dir), or give this region a different name. ' +
        `If that folder is lost or was abandoned on purpose, stop whatever drives the region, run "copse region rebind ${region}", ` +
        'and start again.',
    );
  }
}

/** Rejects with ForeignRegion if the region was opened with another identity before. */
export async function checkIdentity(store: Store, id: string, identity: string): Promise<void> {
  const region = await store.get(regions, id);
  if (region === undefined) throw notFound();
  if (isForeign(region.value, identity)) throw new ForeignRegion(region.value.name);
}

function isForeign(region: RegionRecord, identity: string | undefined): boolean {
  return region.identity !== undefined && identity !== undefined && region.identity !== identity;
}

/** Records what was opened for the region. Rejects with ForeignRegion if something else was opened before. */
export async function bindRegion(
  store: Store,
  id: string,
  { identity, features }: Pick<RegionProvider, 'identity' | 'features'>,
): Promise<void> {
  await retrying(async () => {
    const region = await store.get(regions, id);
    if (region === undefined) throw notFound();
    if (isForeign(region.value, identity)) throw new ForeignRegion(region.value.name);
    const bound = { ...region.value, features, ...(identity === undefined ? {} : { identity }) };
    if (!isDeepStrictEqual(bound, region.value)) await store.write([replace(regions, region, bound)]);
  });
}

/** Allows the region to be opened on another folder; false if there is no such region. */
export async function unbindRegion(store: Store, name: string): Promise<boolean> {
  return retrying(async () => {
    const region = await store.find(regions, 'name', [name]);
    if (region === undefined) return false;
    const { identity: _forgotten, ...rest } = region.value;
    await store.write([replace(regions, region, rest)]);
    return true;
  });
}

/** The current regions; more may be added while the process runs. */
export interface RegionSource {
  all(): OpenRegion[];
  find(id: string): OpenRegion | undefined;
}

/** What a failure of a region means to an HTTP client. */
export function regionFailure(error: unknown): unknown {
  if (!(error instanceof RegionError)) return error;
  const options = { cause: error };
  switch (error.kind) {
    case 'not_found':
      return notFound(error);
    case 'conflict':
      return new ApiError('conflict', error.message, options);
    case 'unsupported':
      return new ApiError('not_implemented', error.message, options);
    case 'busy':
    case 'transient':
    case 'terminal':
      return new ApiError('unavailable', `The region is unavailable: ${error.message}`, {
        ...options,
        headers: { 'Retry-After': '5' },
      });
  }
}

export class RegionData {
  readonly #store: Store;
  readonly #regions: RegionSource;
  readonly #organizations: OrganizationData;
  readonly #projects: ProjectData;

  constructor(store: Store, source: RegionSource, organizations: OrganizationData, projects: ProjectData) {
    this.#store = store;
    this.#regions = source;
    this.#organizations = organizations;
    this.#projects = projects;
  }

  /** Every region of the site that some process drives. */
  all(): OpenRegion[] {
    return this.#regions.all();
  }

  find(id: string): OpenRegion | undefined {
    return this.#regions.find(id);
  }

  /** Calls the region, as part of the caller's trace; a failure becomes an API error. */
  async ask<R>(
    { traceparent, signal }: Pick<Caller, 'traceparent' | 'signal'>,
    regionId: string,
    call: (provider: RegionProvider) => Promise<R>,
  ): Promise<R> {
    const region = this.find(regionId);
    if (region === undefined) throw await this.#missing(regionId, signal);
    const { provider } = region;
    const traced = traceparent === undefined ? undefined : provider.traced?.(traceparent);
    try {
      return await call(traced ?? provider);
    } catch (error) {
      throw regionFailure(error);
    }
  }

  /** A region of the site that no process drives is only unavailable. */
  async #missing(regionId: string, signal: AbortSignal): Promise<ApiError> {
    if ((await this.#store.get(regions, regionId, signal)) === undefined) return notFound();
    const message = 'The region is unavailable: no worker has registered for it yet.';
    return new ApiError('unavailable', message, { headers: { 'Retry-After': '5' } });
  }

  /** A stored image of the region from which machines can be made in the project. */
  async storedImage(
    place: ImagePlace,
    id: string,
    signal: AbortSignal,
  ): Promise<Document<ImageRecord> | undefined> {
    const found = await this.#store.get(storedImages, id, signal);
    return found !== undefined && isSeenIn(found.value, place) ? found : undefined;
  }

  /** The regions that an organization of the caller may use. */
  async list(caller: Caller, organizationId: string): Promise<Region[]> {
    // Whoever may see every organization may ask for one that does not exist, and it has no regions.
    const known = await this.#organizations.get(caller, organizationId).catch((error: unknown) => {
      if (error instanceof ApiError && error.code === 'not_found' && caller.principal.superUser)
        return undefined;
      throw error;
    });
    // A Kubernetes region runs no servers.
    const usable = this.all().filter(({ provider }) => provider.type !== 'kubernetes');
    return known === undefined ? [] : usable.map(presentRegion);
  }

  /** A region that the caller may use through any organization. 503 if no process drives it. */
  async one(caller: Caller, id: string): Promise<Region> {
    const organizations = await this.#organizations.visible(caller);
    if (organizations.length === 0) throw notFound();
    const region = this.find(id);
    if (region === undefined) throw await this.#missing(id, caller.signal);
    return presentRegion(region);
  }

  /**
   * The first item of the region's catalog that the caller may use through any organization. `not_found` if it, or the
   * region, is absent.
   */
  async first<T extends { metadata: { id: string } }>(
    caller: Caller,
    id: string,
    list: (organizationId: string) => Promise<T[]>,
  ): Promise<T> {
    for (const organizationId of await this.#organizations.visible(caller)) {
      const found = (await list(organizationId)).find((item) => item.metadata.id === id);
      if (found !== undefined) return found;
    }
    throw notFound();
  }

  /** The principal for calls to the region: what the caller may use within the organization. */
  async impersonate(caller: Caller, organizationId: string): Promise<RegionPrincipal> {
    await this.#organizations.get(caller, organizationId);
    const mine = await this.#projects.visible(caller);
    return {
      organizationId,
      projectIds: mine.filter((p) => p.value.organizationId === organizationId).map((p) => p.id),
    };
  }
}

/** For a region driven by another process: whether that responded last. */
function healthOf({ answers }: RegionProvider): HealthStatus {
  return answers === false ? 'degraded' : 'healthy';
}

function presentRegion(region: OpenRegion): Region {
  return {
    metadata: {
      id: region.id,
      name: region.name,
      creationTime: region.creationTime,
      provisioningStatus: 'provisioned',
      healthStatus: healthOf(region.provider),
    },
    spec: { type: region.provider.type, features: region.provider.features },
  };
}
