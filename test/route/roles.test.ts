/** Every route, asked by every role for its own, foreign and absent resources; the answers are those of the role table. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { packageRoot } from '../../src/config.js';
import { labels } from '../../src/data/label.js';
import { organizations } from '../../src/data/organization.js';
import { projects } from '../../src/data/project.js';
import { insert, replace } from '../../src/data/store/port.js';
import { apiKeys, users } from '../../src/data/user.js';
import { timestamp } from '../../src/model/common.js';
import { projectRoles } from '../../src/model/role.js';
import type { CurrentUser } from '../../src/model/user.js';
import {
  addressOf,
  allRows,
  type CallerKind,
  callers,
  rolesPage,
  verdictOn,
} from '../../src/route/roles-page.js';
import type { Row } from '../../src/route/route.js';
import { createSshKey } from '../../src/route/ssh-key.js';
import { Api, type ErrorAnswer, type Reply } from '../support/conform.js';
import { addSubscription } from '../support/example-people.js';
import { absentId } from '../support/fuzz-seed.js';
import { seedImage } from '../support/images.js';
import { addPerson, addProject, addSession, type Person, type SeededProject } from '../support/people.js';
import { seedTask } from '../support/rows.js';
import { startServer, type TestServer } from '../support/server.js';

/** By the path parameter that names a resource of a project: its ids in the caller's project, and in another one. */
type Ids = Record<string, string>;

describe('the role table', () => {
  let server: TestServer;
  let own: SeededProject;
  let foreign: SeededProject;
  const apis = {} as Record<CallerKind, Api>;

  before(async () => {
    server = await startServer({
      flags: { limits: { requests: 0 }, hooks: { github: { secret: 'any secret of the hook', rules: [] } } },
    });
    const people = {} as Record<string, Person>;
    for (const name of [...projectRoles, 'others'])
      people[name] = await addPerson(server.app, `role-${name}`);
    const inRole = (role: string) => [people[role]].filter((person) => person !== undefined);
    own = await addProject(server.app, {
      name: 'own',
      admins: inRole('admin'),
      members: inRole('operator'),
      readers: inRole('reader'),
    });
    foreign = await addProject(server.app, { name: 'foreign' });
    for (const caller of callers) apis[caller] = people[caller]?.api ?? server.admin;
    apis.anonymous = new Api(server.url);
  });
  after(() => server.stop());

  /** An instance with a task that no worker takes, seeded anew for each request, which may delete it. */
  async function seeded({ id: projectId, organizationId }: SeededProject): Promise<Ids> {
    const regionId = server.catalog.regionId;
    const task = { projectId, organizationId, queue: 'inactive', activated: false } as const;
    // A label that the request may take off.
    const labelID = uuidv7();
    const { instanceId, taskId } = await seedTask(server.app.store, task, {
      projectId,
      organizationId,
      regionId,
      name: `seeded-${uuidv7().slice(-12)}`,
      labels: [labelID],
    });
    // A member whom the request may remove.
    const userID = uuidv7();
    const { store } = server.app;
    const project = await store.get(projects, projectId);
    if (project === undefined) throw new Error('the project is not there');
    const admins = [...project.value.admins, userID];
    const made = { creationTime: timestamp(), createdBy: 'test' };
    const label = { name: labelID, organizationId, projectId, properties: {}, ...made };
    const joined = replace(projects, project, { ...project.value, admins, labels: [labelID] });
    const member = { name: labelID, active: true, creationTime: timestamp(), labels: [labelID] };
    const organization = await store.get(organizations, organizationId);
    if (organization === undefined) throw new Error('the organization is not there');
    // The roles in the organization are those in the project.
    const { members, readers = [] } = project.value;
    const people = { admins, members, readers, labels: [labelID] };
    await store.write([
      joined,
      replace(organizations, organization, { ...organization.value, ...people }),
      insert(labels, labelID, label),
      insert(users, userID, member),
    ]);
    return {
      instanceID: instanceId,
      taskID: taskId,
      projectID: projectId,
      organizationID: organizationId,
      userID,
      labelID,
      imageID: await seedImage(store, { organizationId, projectId, regionId }),
    };
  }

  /** What the data layer finds, too. */
  async function seededBeyond(row: Row, caller: CallerKind, project: SeededProject): Promise<Ids> {
    const { catalog } = server;
    const ids = await seeded(project);
    if (row[2].includes('{keyName}') && caller !== 'anonymous')
      await apis[caller].post('/api/v2/keys', createSshKey.declaration.example);
    const subscription = row[2].includes('subscription')
      ? await addSubscription(server, project.id)
      : { id: absentId, deliveryId: absentId };
    return {
      ...ids,
      networkID: project.networkIds[0] ?? '',
      subscriptionID: subscription.id,
      deliveryID: subscription.deliveryId,
      keyName: project === own ? 'example' : 'theirs',
      regionID: catalog.regionId,
      flavorID: catalog.flavors['tiny'] ?? '',
      ...(row[2].startsWith('/regions') ? { imageID: catalog.images['sim-linux'] ?? '' } : {}),
    };
  }

  const absent: Ids = { keyName: 'none' };

  function ask(row: Row, caller: CallerKind, ids: Ids): Promise<Reply<ErrorAnswer>> {
    const path = addressOf(row).replaceAll(/\{(\w+)\}/g, (_whole, name: string) => ids[name] ?? absentId);
    // A body that is refused only once the caller may send it.
    return apis[caller].call<ErrorAnswer>(row[1], path, row[1] === 'GET' ? {} : { body: {} });
  }

  const all = allRows();
  const ofProjects = all.filter(([, , , guard]) => guard.authenticator.right !== undefined);

  it('covers every route of an instance and of a task', () => {
    const covered = ofProjects.map((row) => `${row[1]} ${row[2]}`);
    for (const [, method, path] of allRows())
      if (/\{(instance|task)ID\}/.test(path)) expect(covered).to.include(`${method} ${path}`);
    expect(covered).to.have.length.above(14);
  });

  for (const row of ofProjects) {
    const where = `${row[1]} ${row[2]}`;
    it(`is what ${where} does, for a resource of the caller’s project, of another one, and of none`, async () => {
      for (const caller of callers) {
        const verdict = verdictOn(caller, row[3]);
        const mine = await ask(row, caller, await seeded(own));
        if (verdict === 'yes')
          expect([401, 403, 404], `${where} ${caller}: ${mine.text}`).not.to.include(mine.status);
        else expect(mine.status, `${where} ${caller}`).to.equal(verdict);
        if (verdict === 403) expect(mine.body.message).to.include(`"${String(row[3].authenticator.right)}"`);

        const theirs = await ask(row, caller, await seeded(foreign));
        if (caller === 'superuser') expect(theirs.status, `${where} foreign`).to.equal(mine.status);
        else expect(theirs.status, `${where} ${caller} foreign`).to.equal(caller === 'anonymous' ? 401 : 404);

        const none = await ask(row, caller, absent);
        expect(none.status, `${where} ${caller} absent`).to.equal(caller === 'anonymous' ? 401 : 404);
      }
    });
  }

  const ofUsers = all.filter(([, , , guard]) => guard.authenticator.name === 'Owner');
  for (const row of ofUsers) {
    const where = `${row[1]} ${row[2]}`;
    it(`is what ${where} does, for the caller, for another user, and for none`, async () => {
      /** A user with a key that the request may revoke. */
      const keyed = async (userID: string): Promise<Ids> => {
        const keyID = uuidv7();
        const { store, connector } = server.app;
        const record = {
          userId: userID,
          name: keyID,
          hash: connector.users.hash(keyID),
          creationTime: timestamp(),
        };
        await store.write([insert(apiKeys, keyID, record)]);
        return { userID, keyID, sessionID: await addSession(server.app, { id: userID, keyId: keyID }) };
      };
      const another = await addPerson(server.app, `another-${uuidv7().slice(-12)}`);
      for (const caller of callers) {
        const anonymous = caller === 'anonymous';
        const self = anonymous
          ? another.id
          : (await apis[caller].get<CurrentUser>('/api/v2/user')).body.metadata.id;
        const mine = await ask(row, caller, await keyed(self));
        if (anonymous) expect(mine.status).to.equal(401);
        else expect([401, 403, 404], `${where} ${caller}: ${mine.text}`).not.to.include(mine.status);

        const theirs = await ask(row, caller, await keyed(another.id));
        if (caller === 'superuser') expect([401, 403, 404], where).not.to.include(theirs.status);
        else expect(theirs.status, `${where} ${caller} foreign`).to.equal(verdictOn(caller, row[3]));

        const none = await ask(row, caller, { userID: absentId, keyID: absentId, sessionID: absentId });
        if (row[1] === 'POST' && caller === 'superuser') expect(none.status).to.be.oneOf([400, 404]);
        else expect(none.status, `${where} ${caller} absent`).to.equal(anonymous ? 401 : 404);
      }
    });
  }

  const emptyForAbsent = 'GET /organizations/{organizationID}/regions';
  const shared = [
    '/regions/{regionID}',
    '/regions/{regionID}/flavors/{flavorID}',
    '/regions/{regionID}/images/{imageID}',
  ];
  const beyond = all.filter(
    ([
      ,
      ,
      path,
      {
        authenticator: { right, name, needsUser },
      },
    ]) => right === undefined && needsUser && name !== 'Owner' && path.includes('{'),
  );
  for (const row of beyond) {
    const where = `${row[1]} ${row[2]}`;
    it(`is what ${where} does, for what is of the caller’s project, of another one, and of none`, async () => {
      for (const caller of callers) {
        const anonymous = caller === 'anonymous';
        const verdict = verdictOn(caller, row[3]);
        const mine = await ask(row, caller, await seededBeyond(row, caller, own));
        if (verdict === 'yes')
          expect([401, 403, 404], `${where} ${caller}: ${mine.text}`).not.to.include(mine.status);
        else expect(mine.status, `${where} ${caller}: ${mine.text}`).to.equal(verdict);

        const theirs = await ask(row, caller, await seededBeyond(row, caller, foreign));
        const open = shared.includes(row[2]) || (caller === 'superuser' && !row[2].includes('keyName'));
        if (open && !anonymous) expect(theirs.status, `${where} ${caller} foreign`).to.equal(mine.status);
        else
          expect(theirs.status, `${where} ${caller} foreign: ${theirs.text}`).to.equal(anonymous ? 401 : 404);

        const none = await ask(row, caller, absent);
        if (row[1] !== 'GET' && verdict === 'yes')
          expect(none.status, `${where} ${caller}`).to.be.oneOf([400, 404]);
        // The model answers an empty list to those who may ask for any organization.
        else if (where === emptyForAbsent && caller === 'superuser') expect(none.body).to.deep.equal([]);
        else expect(none.status, `${where} ${caller} absent`).to.equal(anonymous ? 401 : 404);
      }
    });
  }

  it('covers every route', () => {
    const covered = [...ofProjects, ...ofUsers, ...beyond];
    const left = all.filter((row) => !covered.includes(row) && row[2].includes('{'));
    expect(covered.length).to.be.above(60);
    expect(left.map(([, , path]) => path)).to.deep.equal(['/docs/{asset}', '/page/{file}']);
  });

  it('is what routes for superusers, for the identified and for everybody say', async () => {
    const open = allRows().filter(
      ([, , path, guard]) => guard.authenticator.right === undefined && !path.includes('{'),
    );
    for (const row of open) {
      for (const caller of callers) {
        const { status } = await ask(row, caller, {});
        const verdict = verdictOn(caller, row[3]);
        if (verdict === 'yes') expect([401, 403, 404], `${row[2]} ${caller}`).not.to.include(status);
        else expect(status, `${row[2]} ${caller}`).to.equal(verdict);
      }
    }
  });

  it('decides about creates: who may operate the project creates, a reader is told what is missing, others find none', async () => {
    for (const caller of callers) {
      const body = server.instanceBody(`by-${caller}`, { spec: { projectId: own.id } });
      const { status, text } = await apis[caller].post('/api/v2/instances', body);
      const expected = {
        anonymous: 401,
        others: 404,
        reader: 403,
        operator: 201,
        admin: 201,
        superuser: 201,
      };
      expect(status, `${caller}: ${text}`).to.equal(expected[caller]);
    }
    const unnamed = await apis.reader.refused('forbidden', 'POST', '/api/v2/instances', {
      body: server.instanceBody('unnamed'),
    });
    expect(unnamed.body.message).to.include('"operate"');
  });

  it('lets readers see the lists of their project, and its events', async () => {
    const { body } = await apis.reader.get<{ metadata: { projectId: string } }[]>('/api/v2/instances');
    expect(body).to.have.length.above(2);
    expect(new Set(body.map(({ metadata }) => metadata.projectId))).to.deep.equal(new Set([own.id]));
    expect((await apis.reader.get<unknown[]>('/api/v2/events')).body).to.have.length.above(2);
  });

  it('is the page docs/roles.md (npm run docs writes it)', () => {
    expect(readFileSync(join(packageRoot(), 'docs', 'roles.md'), 'utf8')).to.equal(rolesPage());
  });
});
