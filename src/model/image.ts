/**
 * A disk to start an instance from: of the catalog of a region, or stored for a project (stored-image.ts), which shows
 * more members. Model: Unikorn Appendix A.
 */
import { Type, type Static } from 'typebox';
import { Architecture, GpuVendor, staticMetadata, Timestamp, Uuid } from './common.js';

export const ImageVisibility = Type.Union(
  [Type.Literal('private'), Type.Literal('organization'), Type.Literal('public')],
  {
    description:
      'Who sees the image and can create instances from it: its project, its organization, or everyone.',
  },
);
export type ImageVisibility = Static<typeof ImageVisibility>;

export const ImageFormat = Type.Union([Type.Literal('qcow2'), Type.Literal('raw')], {
  description: 'Format of the content. It is never guessed.',
});
export type ImageFormat = Static<typeof ImageFormat>;

export const ImageChecksum = Type.String({
  pattern: '^sha256:[0-9a-f]{64}$',
  description: 'SHA-256 of the content in hexadecimal digits, after `sha256:`.',
});

/** Where the content of an image comes from. */
export const ImageSource = Type.Object(
  {
    type: Type.Union([
      Type.Literal('catalog'),
      Type.Literal('upload'),
      Type.Literal('import'),
      Type.Literal('snapshot'),
    ]),
    url: Type.Optional(Type.String({ description: 'Of an import.' })),
    instanceId: Type.Optional({ ...Uuid, description: 'Of a snapshot.' }),
    format: Type.Optional(ImageFormat),
    sizeBytes: Type.Optional(Type.Integer({ minimum: 1, description: 'Declared size of the content.' })),
    checksum: Type.Optional({ ...ImageChecksum, description: 'Declared checksum of the content.' }),
  },
  { title: 'ImageSource', additionalProperties: false },
);
export type ImageSource = Static<typeof ImageSource>;

/** Of a stored image, users name these themselves. */
export const ImageOs = Type.Object(
  {
    kernel: Type.Literal('linux'),
    family: Type.String(),
    distro: Type.String(),
    version: Type.String(),
    variant: Type.Optional(Type.String()),
    codename: Type.Optional(Type.String()),
  },
  { title: 'ImageOs', additionalProperties: false },
);
export type ImageOs = Static<typeof ImageOs>;

export const ImageSpec = Type.Object(
  {
    architecture: Architecture,
    sizeGiB: Type.Integer({ minimum: 1, description: 'Minimum root disk in GiB, rounded up.' }),
    virtualization: Type.Union([Type.Literal('virtualized'), Type.Literal('baremetal'), Type.Literal('any')]),
    os: ImageOs,
    minMemoryMiB: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Minimum memory in MiB that the image needs to boot.' }),
    ),
    softwareVersions: Type.Optional(
      Type.Record(Type.String(), Type.String({ pattern: '^v\\d+\\.\\d+\\.\\d+$' }), {
        description: 'Software that the image brings, with its version. Lists leave such images out.',
      }),
    ),
    gpu: Type.Optional(
      Type.Object(
        { vendor: GpuVendor, driver: Type.String(), models: Type.Optional(Type.Array(Type.String())) },
        { title: 'ImageGpu', description: 'The driver that the image brings.', additionalProperties: false },
      ),
    ),
    regionId: Type.Optional(Uuid),
    visibility: Type.Optional(ImageVisibility),
    source: Type.Optional(ImageSource),
  },
  { title: 'ImageSpec', additionalProperties: false },
);

export const ImageState = Type.Union([
  Type.Literal('pending'),
  Type.Literal('creating'),
  Type.Literal('ready'),
  Type.Literal('failed'),
]);

const ImageMetadata = Type.Object(
  {
    ...staticMetadata,
    organizationId: Type.Optional({ ...Uuid, description: 'Absent for an image of the catalog.' }),
    projectId: Type.Optional(Uuid),
    deletionTime: Type.Optional(Timestamp),
  },
  { title: 'ImageMetadata', additionalProperties: false },
);

const ImageStatus = Type.Object(
  {
    state: ImageState,
    progress: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 100, description: 'Percentage of the content that has arrived.' }),
    ),
    sizeBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Bytes that it takes in its region.' })),
    checksum: Type.Optional({ ...ImageChecksum, description: 'Verified checksum of the content.' }),
    message: Type.Optional(Type.String({ description: 'Why it failed.' })),
    taskId: Type.Optional({ ...Uuid, description: 'The task that is working on the image.' }),
  },
  { title: 'ImageStatus', additionalProperties: false },
);

export const Image = Type.Object(
  { metadata: ImageMetadata, spec: ImageSpec, status: ImageStatus },
  { title: 'Image', additionalProperties: false },
);
export type Image = Static<typeof Image>;
