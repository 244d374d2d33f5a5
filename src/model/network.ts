/** What instances of a project are attached to; it fixes their region. */
import { Type, type Static } from 'typebox';
import { ProjectMetadata, Uuid } from './common.js';

export interface NetworkRecord {
  organizationId: string;
  projectId: string;
  regionId: string;
  name: string;
  creationTime: string;
  createdBy: string;
}

export const Network = Type.Object(
  {
    metadata: ProjectMetadata,
    status: Type.Object({ regionId: Uuid }, { title: 'NetworkStatus', additionalProperties: false }),
  },
  { title: 'Network', additionalProperties: false },
);
export type Network = Static<typeof Network>;

export function presentNetwork(id: string, network: NetworkRecord): Network {
  return {
    metadata: {
      id,
      name: network.name,
      creationTime: network.creationTime,
      createdBy: network.createdBy,
      provisioningStatus: 'provisioned',
      healthStatus: 'healthy',
      organizationId: network.organizationId,
      projectId: network.projectId,
    },
    status: { regionId: network.regionId },
  };
}
