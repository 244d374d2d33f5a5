/** A difference between what is wished and what a region has, for somebody to look at. */
import { Type, type Static } from 'typebox';
import { Name, Timestamp, Uuid } from './common.js';

export const DriftKind = Type.Union(
  [Type.Literal('power'), Type.Literal('absent'), Type.Literal('unfinished'), Type.Literal('orphan')],
  {
    description:
      '`power`: the machine runs or rests against the last wish, is in error, or stays in a state that it should only pass through. `absent`: the region has lost it. `unfinished`: the region has a machine that could not be made or deleted as a whole. `orphan`: the region has a machine that no instance accounts for.',
  },
);
export type DriftKind = Static<typeof DriftKind>;

export const Drift = Type.Object(
  {
    kind: DriftKind,
    regionId: Uuid,
    instanceId: { ...Uuid, description: 'Of the instance, or what the region calls the orphan.' },
    name: Type.Optional(Name),
    projectId: Type.Optional(Uuid),
    message: Type.String({ description: 'What differs, and what to do about it.' }),
    since: { ...Timestamp, description: 'When it was first seen.' },
  },
  { title: 'Drift', additionalProperties: false },
);
export type Drift = Static<typeof Drift>;
