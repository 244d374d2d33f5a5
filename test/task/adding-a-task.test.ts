/** docs/adding-a-task.md, followed literally: the example is built beside the program, and its task is run over HTTP. */
import { expect } from 'chai';
import type { Caller } from '../../src/data/caller.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { checkedFetch } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { compile, followPage, startCopy } from '../support/follow-page.js';

const superUser: Caller = {
  principal: { id: 'u', name: 'user', superUser: true },
  requestId: 'r',
  signal: new AbortController().signal,
};
const key = 'adding-a-task-0123456789-0123456789';

describe('docs/adding-a-task.md', function () {
  this.timeout(60_000);

  it('works when it is followed literally', async () => {
    const folder = followPage('adding-a-task', { saved: 4, added: 12 });
    expect(compile(folder)).to.equal('');

    const { app, stop } = await startCopy(folder, key, { simulated: { delay: 1 } });
    try {
      const ask = async (method: string, path: string, body?: unknown) => {
        const answer = await checkedFetch(new URL(path, app.url), {
          method,
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await answer.text();
        return { answer, body: (text === '' ? undefined : JSON.parse(text)) as unknown };
      };
      const ended = (accepted: Response) =>
        eventually(async () => {
          const { body } = await ask('GET', accepted.headers.get('location') ?? '');
          return (body as Task).endTime === undefined ? undefined : (body as Task);
        });
      const [region] = app.regions;
      if (region === undefined) throw new Error('no region');
      const listing = { organizationId: '', projectIds: [] };
      const { signal } = new AbortController();
      const flavors = await region.provider.listFlavors(listing, signal);
      const images = await region.provider.listImages(listing, signal);
      const image = images.find(({ metadata }) => metadata.name === 'sim-linux');
      const created = await ask('POST', '/api/v2/instances', {
        metadata: { name: 'refreshed' },
        spec: { regionId: region.id, flavorId: flavors[0]?.metadata.id, imageId: image?.metadata.id },
      });
      expect(created.answer.status, JSON.stringify(created.body)).to.equal(201);
      const { id } = (created.body as Instance).metadata;
      const instance = async () => (await ask('GET', `/api/v2/instances/${id}`)).body as Instance;
      await eventually(async () => (await instance()).status.powerState === 'Running');

      const { answer } = await ask('POST', `/api/v2/instances/${id}/refresh?timeout=5`);
      expect(answer.status).to.equal(202);
      const task = await ended(answer);
      expect(task).to.include({ type: 'instance.refresh', status: 'succeeded' });
      expect(task.steps.map(({ name, outcome }) => [name, outcome])).to.deep.equal([
        ['describeServer', 'succeeded'],
      ]);
      expect((await instance()).status).to.include({ powerState: 'Running' });
      expect((await ask('POST', `/api/v2/instances/${id}/refresh?timeout=0`)).answer.status).to.equal(400);

      const { networkId } = (await instance()).status;
      const ofNetwork = await ask('POST', `/api/v2/networks/${networkId}/survey`);
      expect(ofNetwork.answer.status).to.equal(202);
      expect(await ended(ofNetwork.answer)).to.deep.include({
        type: 'network.survey',
        status: 'succeeded',
        subject: { type: 'network', id: networkId, name: 'default' },
      });
      const stored = await app.connector.networks.get(superUser, networkId);
      expect(stored.value).to.deep.include({ machines: 1, openTasks: [] });

      const { projectId } = (await instance()).metadata;
      const ofRegion = await ask('POST', `/api/v2/regions/${region.id}/survey?projectID=${projectId}`);
      expect(ofRegion.answer.status).to.equal(202);
      expect(await ended(ofRegion.answer))
        .to.include({ type: 'region.survey', status: 'succeeded' })
        .and.not.to.have.property('subject');

      const document = (await ask('GET', '/openapi.json')).body as { paths: object };
      expect(document.paths).to.have.property('/api/v2/instances/{instanceID}/refresh');
    } finally {
      await stop();
    }
  });
});
