/** A difference between the desired state and what a region has, for an operator to resolve. */
import { Type, type Static } from 'typebox';
import { Name, Timestamp, Uuid } from './common.js';

export const DriftKind = Type.Union(
  [Type.Literal('power'), Type.Literal('absent'), Type.Literal('unfinished'), Type.Literal('orphan')],
  {
    description:
      '`power`: the machine is on or off contrary to the last request, is in error, or is stuck in a transitional state. `absent`: the region has lost it. `unfinished`: the region has a machine whose creation or deletion failed. `orphan`: the region has a machine that belongs to no instance.',
  },
);
export type DriftKind = Static<typeof DriftKind>;

export const Drift = Type.Object(
  {
    kind: DriftKind,
    regionId: Uuid,
    instanceId: { ...Uuid, description: 'Id of the instance, or the id of the orphan in the region.' },
    name: Type.Optional(Name),
    projectId: Type.Optional(Uuid),
    message: Type.String({ description: 'What differs, and what to do about it.' }),
    since: { ...Timestamp, description: 'When the drift was first seen.' },
  },
  { title: 'Drift', additionalProperties: false },
);
export type Drift = Static<typeof Drift>;
