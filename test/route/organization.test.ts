import { expect } from 'chai';
import type { Organization } from '../../src/model/organization.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/organizations';

describe(path, () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('are created and listed by superusers, and seen by those who belong to them', async () => {
    const { body, headers } = await server.admin.post<Organization>(path, {
      metadata: { name: 'acme', description: 'Makes everything' },
    });
    const { id, creationTime } = body.metadata;
    expect(body).to.deep.equal({
      metadata: { id, name: 'acme', description: 'Makes everything', creationTime, createdBy: 'admin' },
    });
    expect(headers.get('location')).to.equal(`${server.url}${path}/${id}`);
    const list = await server.admin.get<Organization[]>(path);
    expect(list.body.map(({ metadata }) => metadata.name)).to.deep.equal(['default', 'acme']);

    const reader = await addPerson(server.app, 'org-reader');
    const stranger = await addPerson(server.app, 'org-stranger');
    await addProject(server.app, { name: 'in-acme', organizationId: id, readers: [reader] });
    expect((await reader.api.get<Organization>(`${path}/${id}`)).body).to.deep.equal(body);
    for (const one of [id, absentId]) await stranger.api.refused('not_found', 'GET', `${path}/${one}`);
    await server.admin.refused('not_found', 'GET', `${path}/${absentId}`);
    await reader.api.refused('not_found', 'GET', path);
    await reader.api.refused('not_found', 'POST', path, { body: { metadata: { name: 'mine' } } });
  });

  it('have names of their own', async () => {
    await server.admin.refused('name_taken', 'POST', path, { body: { metadata: { name: 'default' } } });
    for (const body of [{}, { metadata: { name: 'A B' } }, { metadata: { name: 'x', createdBy: 'y' } }])
      await server.admin.refused('invalid_body', 'POST', path, { body });
  });
});
