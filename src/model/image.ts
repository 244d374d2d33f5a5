/** A disk to start an instance from. Model: Unikorn Appendix A. */
import { Type, type Static } from 'typebox';
import { Architecture, StaticMetadata } from './common.js';

export const ImageSpec = Type.Object(
  {
    architecture: Architecture,
    sizeGiB: Type.Integer({ minimum: 1, description: 'Minimum root disk in GiB, rounded up.' }),
    virtualization: Type.Union([Type.Literal('virtualized'), Type.Literal('baremetal'), Type.Literal('any')]),
    os: Type.Object(
      {
        kernel: Type.Literal('linux'),
        family: Type.String(),
        distro: Type.String(),
        version: Type.String(),
        variant: Type.Optional(Type.String()),
        codename: Type.Optional(Type.String()),
      },
      { title: 'ImageOs', additionalProperties: false },
    ),
    minMemoryMiB: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Minimum memory in MiB that the image needs to boot.' }),
    ),
  },
  { title: 'ImageSpec', additionalProperties: false },
);

export const ImageState = Type.Union([
  Type.Literal('pending'),
  Type.Literal('creating'),
  Type.Literal('ready'),
  Type.Literal('failed'),
]);

export const Image = Type.Object(
  {
    metadata: StaticMetadata,
    spec: ImageSpec,
    status: Type.Object({ state: ImageState }, { title: 'ImageStatus', additionalProperties: false }),
  },
  { title: 'Image', additionalProperties: false },
);
export type Image = Static<typeof Image>;
