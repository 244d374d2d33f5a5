/** Images: those of the catalogs of regions, and those stored for projects. */
import { uuidv7 } from 'uuidv7';
import { defined, timestamp } from '../model/common.js';
import { ApiError, notFound, notFoundAt } from '../model/error.js';
import type { Image, ImageVisibility } from '../model/image.js';
import type { Interruption } from '../model/interruption.js';
import { merged } from '../model/merge-patch.js';
import { allows, projectsBeyondMembership } from '../model/role.js';
import {
  audienceOf,
  checkSource,
  everyone,
  type ImageCreate,
  type ImagePatch,
  type ImageRecord,
  made,
  type MadeImage,
  presentCatalogImage,
  presentStoredImage,
  unknownOs,
  unmade,
} from '../model/stored-image.js';
import { taskEffects } from '../model/task-effects.js';
import { arrayPage } from './array-page.js';
import { audited } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { catalogs } from './catalog.js';
import { modified, withName } from './change.js';
import { instances } from './instance.js';
import { checkTags } from './instance-rules.js';
import { checkFree, openTasksOf, sharable } from './open-tasks.js';
import { type ProjectData, projects } from './project.js';
import type { RegionData } from './region.js';
import {
  check,
  type Document,
  insert,
  type ListPage,
  replace,
  type Store,
  type StoredText,
  type TextPage,
  type Write,
} from './store/port.js';
import { retrying } from './store/retry.js';
import { storedImages } from './stored-image.js';
import { openTask } from './task.js';
import { standingOf } from './wish.js';

export interface ImageFilter {
  projectIds?: readonly string[] | undefined;
  regionIds?: readonly string[] | undefined;
}

/** A new image, with the writes that store it and its audit record: for a batch within `retrying`. */
export interface NewImage {
  id: string;
  value: ImageRecord;
  writes: readonly Write[];
}

/** Maximum number of images per project, and of regions whose catalogs are listed. */
const imageLimit = 1000;
const regionLimit = 1000;

export class ImageData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #regions: RegionData;

  constructor(store: Store, projects: ProjectData, regions: RegionData) {
    this.#store = store;
    this.#projects = projects;
    this.#regions = regions;
  }

  /**
   * The region's images that are ready, as the caller sees them in the organization, by name: those of the catalog, and
   * stored ones. Images that bring software with them belong to other products and are left out. An unknown region or organization: `not_found`.
   */
  async list(caller: Caller, organizationId: string, regionId: string): Promise<Image[]> {
    const images = await this.#ready(caller, organizationId, regionId);
    return images.filter(isListed);
  }

  async #ready(caller: Caller, organizationId: string, regionId: string): Promise<Image[]> {
    const principal = await this.#regions.impersonate(caller, organizationId);
    const built = await this.#regions.ask(caller, regionId, (provider) =>
      provider.listImages(principal, caller.signal),
    );
    const ready = built.filter((image) => image.status.state === 'ready');
    const audience = [...principal.projectIds, organizationId, everyone];
    const stored = await this.#store.page(
      storedImages,
      { order: 'id', filter: { region_id: regionId, audience, state: 'ready' }, limit: imageLimit },
      caller.signal,
    );
    const living = stored.filter(({ value }) => value.deletionTime === undefined);
    const all = [...ready, ...living.map(({ id, value }) => presentStoredImage(id, value))];
    return living.length === 0 ? ready : all.sort(byName);
  }

  /** One of those that are ready, through any of the caller's organizations. */
  get(caller: Caller, regionId: string, id: string): Promise<Image> {
    return this.#regions.first(caller, id, (organizationId) => this.#ready(caller, organizationId, regionId));
  }

  /** Every image that the caller sees, whatever its state, and those of the catalogs, in the order of their ids. */
  async page(caller: Caller, filter: ImageFilter, page: ListPage): Promise<TextPage> {
    const audience = await this.#audience(caller);
    const columns = defined({ audience, project_id: filter.projectIds, region_id: filter.regionIds });
    const { limit, after, inclusive, descending } = page;
    const query = {
      order: 'id',
      filter: columns,
      limit: limit + 1,
      ...defined({ after, inclusive, descending }),
    };
    const stored = await this.#store.page(storedImages, query, caller.signal);
    const shown = stored.map(({ id, value }) => presentStoredImage(id, value));
    const built = filter.projectIds === undefined ? await this.#catalogImages(filter, caller.signal) : [];
    return arrayPage([...shown, ...built.filter(isListed)], ({ metadata }) => [metadata.id], page);
  }

  /** As their regions last stored them. */
  async #catalogImages({ regionIds }: ImageFilter, signal: AbortSignal): Promise<Image[]> {
    const found = await this.#store.page(catalogs, { order: 'id', limit: regionLimit }, signal);
    return found
      .filter(({ id }) => regionIds?.includes(id) ?? true)
      .flatMap(({ id, value }) => value.images.map((image) => presentCatalogImage(image, id)));
  }

  /** Whose images the caller sees; undefined: all. */
  async #audience(caller: Caller): Promise<string[] | undefined> {
    if (projectsBeyondMembership(caller.principal) === 'all') return undefined;
    const visible = await this.#projects.visible(caller);
    return [...new Set([everyone, ...visible.flatMap(({ id, value }) => [id, value.organizationId])])];
  }

  /** An image that the caller sees, with the revision of a stored one. Otherwise `not_found`. */
  async one(caller: Caller, id: string): Promise<{ image: Image; revision?: number }> {
    const found = await this.#store.get(storedImages, id, caller.signal);
    if (found === undefined) {
      const built = await this.#catalogImages({}, caller.signal);
      const image = built.find(({ metadata }) => metadata.id === id);
      if (image === undefined) throw notFound();
      return { image };
    }
    const audience = await this.#audience(caller);
    const { projectId } = found.value;
    const seen = audience?.some((one) => one === projectId || one === audienceOf(found.value)) ?? true;
    if (!seen) throw notFound();
    return { image: presentStoredImage(id, found.value), revision: found.revision };
  }

  /** Undefined if absent. No visibility check. */
  load(id: string, signal?: AbortSignal): Promise<Document<ImageRecord> | undefined> {
    return this.#store.get(storedImages, id, signal);
  }

  /** For the access decision; an image of a catalog belongs to no project. Undefined if it is absent. */
  async readForAccess(id: string, signal?: Interruption): Promise<StoredText | undefined> {
    const stored = await this.#store.text(storedImages, id, 'project_id', signal);
    if (stored !== undefined) return stored;
    const built = await this.#catalogImages({}, new AbortController().signal);
    const image = built.find(({ metadata }) => metadata.id === id);
    return image && { text: JSON.stringify(image), revision: 1, column: null };
  }

  /** An image of a body, which waits for its content. */
  create(caller: Caller, { metadata, spec }: ImageCreate): Promise<Accepted> {
    checkSource(spec.source);
    if (spec.source.type === 'import')
      throw new ApiError('not_implemented', 'Nothing imports images yet; upload the content.');
    checkTags(metadata.tags);
    const { visibility = 'private', architecture = 'x86_64', os = unknownOs, minMemoryMiB, source } = spec;
    checkVisibility(caller, visibility);
    checkVerb(caller);
    return retrying(async () => {
      const project = await this.#projects.choose(caller, spec);
      if (this.#regions.find(spec.regionId) === undefined) throw notFoundAt('/spec/regionId', 'region');
      const { organizationId } = project.value;
      const sizeGiB = Math.max(1, Math.ceil((source.sizeBytes ?? 1) / 2 ** 30));
      const image = await this.newImage(caller, {
        ...{ organizationId, projectId: project.id, regionId: spec.regionId, ...metadata },
        ...{ visibility, architecture, sizeGiB, os, ...defined({ minMemoryMiB }) },
        ...{ source: { format: 'qcow2' as const, ...source }, state: 'pending' as const, progress: 0 },
      });
      const { id, value } = image;
      const accepted = { id, text: JSON.stringify(presentStoredImage(id, value)), revision: 1 };
      const writes = [check(projects, project), ...image.writes, ...(caller.storeResponse?.(accepted) ?? [])];
      await withName(this.#store.write(writes, caller.signal), taken(metadata.name));
      return accepted;
    });
  }

  /**
   * Prepares a new image. The batch with its writes must be stored within `withImageName`, so that a taken name is
   * refused with 409.
   */
  async newImage(
    caller: Caller,
    image: Omit<ImageRecord, 'creationTime' | 'createdBy' | 'openTasks'>,
  ): Promise<NewImage> {
    const count = await this.#store.count(storedImages, { filter: { project_id: image.projectId } });
    if (count >= imageLimit)
      throw new ApiError('unprocessable', `The project has ${imageLimit} images, which is the most.`);
    const id = uuidv7();
    const value = {
      ...image,
      ...{ creationTime: timestamp(), createdBy: caller.principal.name, openTasks: [] },
    };
    const resource = { type: storedImages.auditedAs, id };
    const audit = await audited(this.#store, caller, 'image.create', resource, null, value);
    return { id, value, writes: [insert(storedImages, id, value), ...audit] };
  }

  /** What the region has made is ready to be used. Repeating it changes nothing; absent is success. */
  markReady(id: string, found: MadeImage): Promise<void> {
    return this.#mark(id, (image) => made(image, found));
  }

  /** It will never be ready, for this reason. */
  markFailed(id: string, message: string): Promise<void> {
    return this.#mark(id, (image) => unmade(image, message));
  }

  #mark(id: string, change: (image: ImageRecord) => ImageRecord): Promise<void> {
    return retrying(async () => {
      const found = await this.load(id);
      if (found === undefined || ['ready', 'failed'].includes(found.value.state)) return;
      await this.#store.write([replace(storedImages, found, change(found.value))]);
    });
  }

  patch(caller: Caller, id: string, { metadata = {}, spec = {} }: ImagePatch): Promise<Accepted> {
    const change = (image: ImageRecord): ImageRecord => {
      if (image.deletionTime !== undefined)
        throw new ApiError('being_deleted', 'The image is being deleted.');
      const { description, tags, ...rest } = image;
      const next = merged({ name: image.name, ...defined({ description, tags }) }, metadata) as Pick<
        ImageRecord,
        'name' | 'description' | 'tags'
      >;
      if (next.tags !== image.tags) checkTags(next.tags);
      const { visibility = image.visibility } = spec;
      if (visibility !== image.visibility) checkVisibility(caller, visibility);
      return { ...rest, ...next, visibility };
    };
    return withName(this.#changed(caller, id, change), taken(metadata.name ?? ''));
  }

  async #changed(caller: Caller, id: string, change: (image: ImageRecord) => ImageRecord): Promise<Accepted> {
    if ((await this.load(id, caller.signal)) === undefined) throw ofCatalog();
    return modified(this.#store, storedImages, caller, id, change);
  }

  /**
   * Refused while an instance uses it. An instance that is accepted at the same moment is found by the task, because
   * creates refuse a marked image.
   */
  delete(caller: Caller, id: string): Promise<Accepted> {
    return retrying(async () => {
      const found = await this.load(id, caller.signal);
      if (found === undefined) throw ofCatalog();
      caller.precondition?.(standingOf(found));
      const open = await openTasksOf(this.#store, found.value, caller.signal);
      const same = sharable(open, 'image.delete');
      if (same !== undefined) return { id, taskId: same.id };
      checkFree('image', open);
      await this.refuseWhileUsed(id, caller.signal);
      const task = openTask('image', found, 'image.delete', {}, caller);
      const next = { ...taskEffects['image.delete'].onAccepted(found.value), openTasks: task.openTasks };
      const accepted = { id, taskId: task.id };
      const resource = { type: storedImages.auditedAs, id };
      const audit = await audited(this.#store, caller, 'image.delete', resource, found.value, null);
      const writes = [replace(storedImages, found, next), task.write, ...audit];
      await this.#store.write([...writes, ...(caller.storeResponse?.(accepted) ?? [])], caller.signal);
      return accepted;
    });
  }

  /** Throws while instances were made from the image, or are to be. */
  async refuseWhileUsed(id: string, signal: AbortSignal): Promise<void> {
    const count = await this.#store.count(instances, { filter: { image_id: id } }, signal);
    if (count === 0) return;
    const message = `${count === 1 ? 'An instance uses' : `${count} instances use`} the image; delete ${count === 1 ? 'it' : 'them'} first.`;
    throw new ApiError('in_use', message);
  }
}

/** The write of a new image, whose name another one of its project may have. */
export function withImageName<R>(name: string, change: Promise<R>, pointer?: string): Promise<R> {
  return withName(change, taken(name), pointer);
}

function taken(name: string): string {
  return `The project already has an image named "${name}".`;
}

function ofCatalog(): ApiError {
  return new ApiError(
    'in_use',
    'The image belongs to the catalog of its region, which its operator changes.',
  );
}

function checkVisibility({ principal }: Caller, visibility: ImageVisibility): void {
  if (visibility !== 'public' || principal.superUser) return;
  const message = 'Only superusers make an image public.';
  throw new ApiError('forbidden', message, { errors: [{ pointer: '/spec/visibility', message }] });
}

/** The access decision of a create is the choice of its project. */
function checkVerb({ principal }: Caller): void {
  if (principal.limits?.tags !== undefined)
    throw new ApiError('forbidden', 'A credential that is limited by tags creates no images.');
  if (!allows(principal, 'images'))
    throw new ApiError('forbidden', 'Your credential does not allow the verb "images".');
}

function byName({ metadata: one }: Image, { metadata: other }: Image): number {
  if (one.name === other.name) return one.id < other.id ? -1 : 1;
  return one.name < other.name ? -1 : 1;
}

function isListed({ spec }: Image): boolean {
  return Object.keys(spec.softwareVersions ?? {}).length === 0;
}
