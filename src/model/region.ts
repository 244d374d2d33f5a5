/** A place that can run machines. Model: Unikorn Appendix A; `local`, the verbs and the accelerator are ours. */
import { Type, type Static } from 'typebox';
import { ReadMetadata } from './common.js';

export const RegionType = Type.Union([
  Type.Literal('local'),
  Type.Literal('simulated'),
  Type.Literal('openstack'),
  Type.Literal('kubernetes'),
]);
export type RegionType = Static<typeof RegionType>;

/** Optional capabilities of a region. */
export const RegionFeatures = Type.Object(
  {
    physicalNetworks: Type.Boolean(),
    consoleOutput: Type.Boolean(),
    softReboot: Type.Boolean({ description: 'Whether a reboot can ask the guest to shut down first.' }),
    accelerator: Type.Optional(
      Type.String({
        description: 'How guests run: `kvm` (hardware) or `tcg` (emulation, several times slower).',
      }),
    ),
  },
  { title: 'RegionFeatures', additionalProperties: false },
);
export type RegionFeatures = Static<typeof RegionFeatures>;

export const Region = Type.Object(
  {
    metadata: ReadMetadata,
    spec: Type.Object(
      { type: RegionType, features: RegionFeatures },
      { title: 'RegionSpec', additionalProperties: false },
    ),
  },
  { title: 'Region', additionalProperties: false },
);
export type Region = Static<typeof Region>;
