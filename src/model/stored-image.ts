/** Images that users upload, import, or make from their machines, as they are stored. Public form: image.ts. */
import { Type, type Static } from 'typebox';
import { Architecture, defined, type Tag, Uuid, WriteMetadata } from './common.js';
import { ApiError, type FieldError } from './error.js';
import {
  type Image,
  ImageChecksum,
  ImageFormat,
  type ImageOs,
  type ImageSource,
  type ImageVisibility as Visibility,
  ImageVisibility,
} from './image.js';
import { type MergePatch, patchOf } from './merge-patch.js';

export interface ImageRecord {
  organizationId: string;
  projectId: string;
  regionId: string;
  name: string;
  description?: string;
  tags?: Tag[];
  visibility: Visibility;
  architecture: 'x86_64' | 'aarch64';
  /** Until the image is ready, an estimate. */
  sizeGiB: number;
  os: ImageOs;
  minMemoryMiB?: number;
  source: ImageSource;
  state: Image['status']['state'];
  progress?: number;
  sizeBytes?: number;
  checksum?: string;
  message?: string;
  /** Ms since 1970: when an upload that gets no more content is given up. */
  uploadUntil?: number;
  creationTime: string;
  createdBy: string;
  modifiedTime?: string;
  modifiedBy?: string;
  deletionTime?: string;
  /** Ids of the unfinished tasks in the order in which they run. */
  openTasks: string[];
}

/** What a region found out about the content of an image that it has made. */
export interface MadeImage {
  /** Bytes of the disk that the guest sees. */
  virtualSize: number;
  /** Bytes that it takes in the region. */
  sizeBytes: number;
  /** As of `ImageChecksum`. */
  checksum: string;
}

const Word = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}$', maxLength: 64 });

/** Without it, nothing is known about the system on the disk. */
const Os = Type.Object(
  {
    kernel: Type.Literal('linux'),
    family: Word,
    distro: Word,
    version: Word,
    variant: Type.Optional(Word),
    codename: Type.Optional(Word),
  },
  { title: 'ImageCreateOs', additionalProperties: false },
);

export const unknownOs: ImageOs = {
  kernel: 'linux',
  family: 'unknown',
  distro: 'unknown',
  version: 'unknown',
};

/** The largest content that any region takes: 2^46 bytes, like the disks of its own images. */
const contentLimit = 2 ** 46;

const CreateSource = Type.Object(
  {
    type: Type.Union([Type.Literal('upload'), Type.Literal('import')]),
    url: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2048,
        description: 'https, for an import: where the content is.',
      }),
    ),
    format: Type.Optional({ ...ImageFormat, description: 'Default: qcow2.' }),
    sizeBytes: Type.Optional(
      Type.Integer({ minimum: 1, maximum: contentLimit, description: 'Required for an upload.' }),
    ),
    checksum: ImageChecksum,
  },
  { title: 'ImageCreateSource', additionalProperties: false },
);

export const ImageCreate = Type.Object(
  {
    metadata: WriteMetadata,
    spec: Type.Object(
      {
        organizationId: Type.Optional(Uuid),
        projectId: Type.Optional({
          ...Uuid,
          description: 'May be omitted by a caller who is a member of exactly one project.',
        }),
        regionId: Uuid,
        visibility: Type.Optional({
          ...ImageVisibility,
          description: 'Default: private. Superusers set public.',
        }),
        architecture: Type.Optional({ ...Architecture, description: 'Default: x86_64.' }),
        os: Type.Optional(Os),
        minMemoryMiB: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 24 })),
        source: CreateSource,
      },
      { title: 'ImageCreateSpec', additionalProperties: false },
    ),
  },
  { title: 'ImageCreate', additionalProperties: false },
);
export type ImageCreate = Static<typeof ImageCreate>;

/** Of an instance: POST …/snapshot. */
export const SnapshotCreate = Type.Object(
  { metadata: WriteMetadata },
  { title: 'SnapshotCreate', additionalProperties: false },
);
export type SnapshotCreate = Static<typeof SnapshotCreate>;

const ImageUpdate = Type.Object(
  {
    metadata: WriteMetadata,
    spec: Type.Object(
      { visibility: ImageVisibility },
      { title: 'ImageUpdateSpec', additionalProperties: false },
    ),
  },
  { title: 'ImageUpdate', additionalProperties: false },
);

export const ImagePatch = patchOf(ImageUpdate);
export type ImagePatch = MergePatch<Static<typeof ImageUpdate>>;

/** Whoever has one of these ids sees the image: its project, its organization, everyone. */
export function audienceOf({
  visibility,
  projectId,
  organizationId,
}: Pick<ImageRecord, 'visibility' | 'projectId' | 'organizationId'>): string {
  if (visibility === 'public') return everyone;
  return visibility === 'organization' ? organizationId : projectId;
}

export const everyone = 'public';

/** Throws if the source lacks what its type needs, or has what makes no sense for it. */
export function checkSource({ type, url, sizeBytes }: ImageCreate['spec']['source']): void {
  const errors: FieldError[] = [];
  const fault = (member: string, message: string) =>
    errors.push({ pointer: `/spec/source/${member}`, message });
  if (type === 'upload' && url !== undefined) fault('url', 'Only an import has a URL; omit it.');
  if (type === 'upload' && sizeBytes === undefined)
    fault('sizeBytes', 'Say how many bytes you are going to upload.');
  if (type === 'import' && url === undefined) fault('url', 'Say where the content is.');
  if (errors.length > 0)
    throw new ApiError('invalid_body', errors.map(({ message }) => message).join(' '), { errors });
}

/** The stored image once its region has made it. */
export function made(image: ImageRecord, { virtualSize, sizeBytes, checksum }: MadeImage): ImageRecord {
  const { message: _message, progress: _progress, uploadUntil: _until, ...rest } = image;
  const sizeGiB = Math.max(1, Math.ceil(virtualSize / 2 ** 30));
  return { ...rest, sizeGiB, sizeBytes, checksum, state: 'ready' };
}

/** One that failed, once it is being made again. */
export function awaited(image: ImageRecord): ImageRecord {
  const { message: _message, ...rest } = image;
  return { ...rest, state: 'creating' };
}

export function unmade(image: ImageRecord, message: string): ImageRecord {
  const { progress: _progress, uploadUntil: _until, ...rest } = image;
  return { ...rest, state: 'failed', message };
}

export function presentStoredImage(id: string, image: ImageRecord): Image {
  const { name, description, tags, creationTime, createdBy, modifiedTime, modifiedBy, deletionTime } = image;
  const { organizationId, projectId, regionId, visibility, source } = image;
  const { architecture, sizeGiB, os, minMemoryMiB } = image;
  const { state, progress, sizeBytes, checksum, message } = image;
  const who = { creationTime, createdBy, modifiedTime, modifiedBy, deletionTime };
  return {
    metadata: defined({ id, name, description, tags, ...who, organizationId, projectId }),
    spec: defined({
      ...{ architecture, sizeGiB, virtualization: 'virtualized' as const, os, minMemoryMiB },
      ...{ regionId, visibility, source },
    }),
    status: defined({ state, progress, sizeBytes, checksum, message, taskId: image.openTasks[0] }),
  };
}

/** An image of the catalog of a region, beside those that are stored. */
export function presentCatalogImage({ metadata, spec, status }: Image, regionId: string): Image {
  return {
    metadata,
    spec: { ...spec, regionId, visibility: 'public', source: { type: 'catalog' } },
    status,
  };
}
