/** Ids of real resources in place of those in the examples of the OpenAPI document. */
import type { Instance } from '../../src/model/instance.js';
import { exampleIds } from '../../src/route/example.js';
import { eventually } from './eventually.js';
import { changeToRevert, freshPeople } from './example-people.js';
import type { TestServer } from './server.js';

type Need = 'stopped' | 'held' | 'failed' | 'trashed';

/** What must have become of the instance before the operation. */
const needed: Record<string, Need> = {
  startInstance: 'stopped',
  restoreInstance: 'trashed',
  patchTask: 'held',
  abortTask: 'held',
  restartTask: 'failed',
};

export class ExampleIds {
  readonly #server: TestServer;
  /** Those of an operation that changed nothing. */
  #unchanged: Record<string, string> | undefined;

  constructor(server: TestServer) {
    this.#server = server;
  }

  /** Fresh ones, with an instance named `example` in the state that the operation needs; reads in a row share them. */
  async of(method: string, operationId: string): Promise<Record<string, string>> {
    const safe = method === 'GET' && needed[operationId] === undefined && operationId !== 'getImageContent';
    const ids = (safe ? this.#unchanged : undefined) ?? (await this.#fresh(operationId));
    this.#unchanged = safe ? ids : undefined;
    return ids;
  }

  async #fresh(operationId: string): Promise<Record<string, string>> {
    const server = this.#server;
    const { body } = await server.admin.get<Instance[]>('/api/v2/instances');
    for (const { metadata } of body) await server.deleteInstance(metadata.id);
    const { id, taskId } = await this.#instance(needed[operationId]);
    const { organizationId, projectId, regionId, networkId, flavors, images } = server.catalog;
    return {
      [exampleIds.organizationID]: organizationId,
      [exampleIds.projectID]: projectId,
      [exampleIds.regionID]: regionId,
      [exampleIds.networkID]: networkId,
      [exampleIds.flavorID]: flavors['tiny'] ?? '',
      [exampleIds.imageID]: images['sim-linux'] ?? '',
      ...(await freshPeople(server, operationId, id)),
      [exampleIds.instanceID]: id,
      [exampleIds.taskID]: taskId,
      [exampleIds.auditEventID]: operationId === 'revertChange' ? await changeToRevert(server.admin) : '',
    };
  }

  async #instance(need: Need | undefined): Promise<{ id: string; taskId: string }> {
    const server = this.#server;
    server.cloud.clearProgram();
    if (need === 'held') server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    if (need === 'failed') server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const made = await server.createInstance('example', { spec: { expiresAt } });
    const { id } = made.metadata;
    if (need === 'held')
      await eventually(async () => (await server.task(made.status.taskId)).status === 'running');
    else await server.settled(id);
    if (need === 'stopped') {
      await server.admin.post(`/api/v2/instances/${id}/stop`);
      await server.settled(id, ({ status }) => status.powerState === 'Stopped');
    }
    if (need === 'trashed') {
      await server.admin.patch('/api/v2/admin/settings', { instances: { trash: 24 } });
      await server.admin.delete(`/api/v2/instances/${id}`);
      await server.settled(id);
      await server.admin.patch('/api/v2/admin/settings', { instances: { trash: null } });
    }
    return { id, taskId: made.status.taskId ?? '' };
  }
}
