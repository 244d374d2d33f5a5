/** A machine size that a region offers. Model: Unikorn Appendix A, with the exact memory next to the rounded one. */
import { Type, type Static } from 'typebox';
import { Architecture, StaticMetadata } from './common.js';

export const FlavorSpec = Type.Object(
  {
    architecture: Architecture,
    cpus: Type.Integer({ minimum: 1, description: 'Virtual CPUs.' }),
    memory: Type.Integer({ minimum: 1, description: 'Memory in GiB, rounded up; `memoryMiB` is exact.' }),
    memoryMiB: Type.Integer({ minimum: 1, description: 'Memory in MiB.' }),
    disk: Type.Integer({ minimum: 1, description: 'Root disk in GB, rounded up.' }),
    cpuFamily: Type.Optional(Type.String()),
    baremetal: Type.Optional(Type.Boolean()),
  },
  { title: 'FlavorSpec', additionalProperties: false },
);

export const Flavor = Type.Object(
  { metadata: StaticMetadata, spec: FlavorSpec },
  { title: 'Flavor', additionalProperties: false },
);
export type Flavor = Static<typeof Flavor>;
