import { expect } from 'chai';
import type { CurrentUser } from '../../src/model/user.js';
import type { UserSettings } from '../../src/model/user-settings.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/user/settings';

describe('/api/v2/user/settings', () => {
  let server: TestServer;
  let uma: Person;

  before(async () => {
    server = await startServer();
    uma = await addPerson(server.app, 'uma');
  });
  after(() => server.stop());

  it('are set by whole members or by a merge patch, and restored by null', async () => {
    const initial = { timezone: 'UTC', notifications: { instanceExpiration: true, taskFailure: true } };
    const first = await uma.api.get<UserSettings>(path);
    expect(first.body).to.deep.equal(initial);
    expect(first.headers.get('etag')).to.equal('"0"');
    const quiet = { instanceExpiration: false, taskFailure: false };
    const set = await uma.api.post<UserSettings>(path, { notifications: quiet, timezone: 'Europe/Berlin' });
    expect(set.status, set.text).to.equal(200);
    expect(set.body).to.deep.equal({ timezone: 'Europe/Berlin', notifications: quiet });
    const part = await uma.api.post<UserSettings>(path, { notifications: { taskFailure: false } });
    expect(part.body).to.deep.equal({
      timezone: 'Europe/Berlin',
      notifications: { instanceExpiration: true, taskFailure: false },
    });
    const patched = await uma.api.patch<UserSettings>(path, {
      timezone: null,
      notifications: { taskFailure: true },
    });
    expect(patched.body).to.deep.equal(initial);
    expect((await uma.api.get(path)).headers.get('etag')).to.equal(patched.headers.get('etag'));
    await uma.api.refused('precondition_failed', 'PATCH', path, {
      body: { timezone: 'Asia/Tokyo' },
      headers: { 'If-Match': '"0"' },
    });
    const zone = await uma.api.refused('unprocessable', 'PATCH', path, {
      body: { timezone: 'Mars/Olympus' },
    });
    expect(zone.body.errors?.[0]?.pointer).to.equal('/timezone');
    for (const body of [{ timezone: 3 }, { superUser: true }, { notifications: { all: true } }])
      for (const method of ['PATCH', 'POST']) await uma.api.refused('invalid_body', method, path, { body });
    expect((await uma.api.get<UserSettings>(path)).body).to.deep.equal(initial);
    // Everybody has their own.
    expect((await server.admin.get<UserSettings>(path)).headers.get('etag')).to.equal('"0"');
  });

  it('may be set for the first time by two requests at once', async () => {
    const twin = await addPerson(server.app, 'twin');
    const replies = await Promise.all([
      twin.api.patch(path, { timezone: 'Asia/Tokyo' }),
      twin.api.patch(path, { notifications: { taskFailure: false } }),
    ]);
    expect(replies.map(({ status }) => status)).to.deep.equal([200, 200]);
    expect((await twin.api.get<UserSettings>(path)).body).to.deep.equal({
      timezone: 'Asia/Tokyo',
      notifications: { instanceExpiration: true, taskFailure: false },
    });
  });

  it('are beside what GET /user says: who one is, and in which projects', async () => {
    const project = await addProject(server.app, { name: 'of-uma', readers: [uma] });
    const { body } = await uma.api.get<CurrentUser>('/api/v2/user');
    expect(body.status).to.deep.equal({
      superUser: false,
      projects: [
        {
          projectId: project.id,
          organizationId: project.organizationId,
          name: 'of-uma',
          role: 'reader',
        },
      ],
    });
  });
});
