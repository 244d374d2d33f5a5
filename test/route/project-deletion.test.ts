/** A project and the instances that are being created in it: none is left without a project, whoever is faster. */
import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import { networks } from '../../src/data/network.js';
import { projects } from '../../src/data/project.js';
import { replace } from '../../src/data/store/port.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Project } from '../../src/model/project.js';
import { addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('the deletion of a project', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
  });
  after(() => server.stop());

  it('and creates in flight exclude each other', async () => {
    const { store } = server.app;
    let [deleted, kept] = [0, 0];
    for (let round = 0; round < 25; round += 1) {
      const project = await addProject(server.app, { name: `round-${round}` });
      const create = (name: string) =>
        server.admin.post('/api/v2/instances', {
          ...server.instanceBody(name, { spec: { projectId: project.id } }),
        });
      const work = [0, 1, 2].map((number) => () => create(`i-${round}-${number}`));
      const end = () => server.admin.delete(`/api/v2/projects/${project.id}`);
      work.splice(round % 4, 0, end);
      const replies = await Promise.all(work.map((one) => one()));
      const [ended] = replies.splice(round % 4, 1);
      const made = replies.filter(({ status }) => status === 201).length;
      for (const { status, text } of replies) expect([201, 404, 409], text).to.include(status);
      const left = await store.count(instances, { filter: { project_id: project.id } });
      if (ended?.status === 204) {
        deleted += 1;
        expect(await store.get(projects, project.id)).to.be.undefined;
        expect([made, left], `round ${round}`).to.deep.equal([0, 0]);
        expect(await store.count(networks, { filter: { project_id: project.id } })).to.equal(0);
      } else {
        kept += 1;
        expect(ended?.status, ended?.text).to.equal(409);
        expect(left).to.equal(made);
        // It is as it was: work goes on.
        expect((await store.get(projects, project.id))?.value).not.to.have.property('deletionTime');
        expect((await create(`later-${round}`)).status).to.equal(201);
      }
    }
    expect(deleted + kept).to.equal(25);
  });

  it('that has died is shown, stops creates, and is completed by the next one', async () => {
    const { store } = server.app;
    const project = await addProject(server.app, { name: 'half-gone' });
    const found = await store.get(projects, project.id);
    if (found === undefined) throw new Error('no project');
    const deletionTime = new Date().toISOString();
    await store.write([replace(projects, found, { ...found.value, deletionTime })]);
    const path = `/api/v2/projects/${project.id}`;
    const { body } = await server.admin.get<Project>(path);
    expect(body.metadata).to.include({ deletionTime, provisioningStatus: 'deprovisioning' });
    const creation = { body: server.instanceBody('late', { spec: { projectId: project.id } }) };
    await server.admin.refused('being_deleted', 'POST', '/api/v2/instances', creation);
    expect((await server.admin.delete(path)).status).to.equal(204);
    await server.admin.refused('not_found', 'GET', path);
    const trail = await server.admin.get<AuditEvent[]>(`/api/v2/admin/events?resourceID=${project.id}`);
    expect(trail.body.map(({ action }) => action)).to.deep.equal(['project.delete']);
  });

  it('that has died is taken back by a change of the project', async () => {
    const { store } = server.app;
    const project = await addProject(server.app, { name: 'half-back' });
    const found = await store.get(projects, project.id);
    if (found === undefined) throw new Error('no project');
    const deletionTime = new Date().toISOString();
    await store.write([replace(projects, found, { ...found.value, deletionTime })]);
    const { body } = await server.admin.patch<Project>(`/api/v2/projects/${project.id}`, {});
    expect(body.metadata).not.to.have.property('deletionTime');
    const made = await server.admin.post(
      '/api/v2/instances',
      server.instanceBody('on-time', { spec: { projectId: project.id } }),
    );
    expect(made.status, made.text).to.equal(201);
  });
});
