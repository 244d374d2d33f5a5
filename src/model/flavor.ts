/** A machine size that a region offers. Model: Unikorn Appendix A, with the exact memory next to the rounded one. */
import { Type, type Static } from 'typebox';
import { Architecture, GpuVendor, StaticMetadata } from './common.js';

export const FlavorSpec = Type.Object(
  {
    architecture: Architecture,
    cpus: Type.Integer({ minimum: 1, description: 'Virtual CPUs.' }),
    memory: Type.Integer({ minimum: 1, description: 'Memory in GiB, rounded up; `memoryMiB` is exact.' }),
    memoryMiB: Type.Integer({ minimum: 1, description: 'Memory in MiB.' }),
    disk: Type.Integer({ minimum: 1, description: 'Root disk in GB, rounded up.' }),
    cpuFamily: Type.Optional(Type.String()),
    baremetal: Type.Optional(Type.Boolean()),
    pinnedOnly: Type.Optional(
      Type.Boolean({ description: 'Only for machines on a named host; instances cannot have it.' }),
    ),
    gpu: Type.Optional(
      Type.Object(
        {
          vendor: GpuVendor,
          model: Type.String(),
          memory: Type.Integer({ minimum: 1, description: 'GiB of each.' }),
          physicalCount: Type.Integer({ minimum: 1 }),
          logicalCount: Type.Integer({ minimum: 1, description: 'As the guest sees them.' }),
        },
        { title: 'FlavorGpu', additionalProperties: false },
      ),
    ),
  },
  { title: 'FlavorSpec', additionalProperties: false },
);

export const Flavor = Type.Object(
  { metadata: StaticMetadata, spec: FlavorSpec },
  { title: 'Flavor', additionalProperties: false },
);
export type Flavor = Static<typeof Flavor>;
