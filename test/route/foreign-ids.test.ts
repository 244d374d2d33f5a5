/**
 * Every id in a path, and every id in a query or body that names something of a project: what is foreign is refused
 * exactly as what is absent, so that nobody reaches or even notices it. From the route table.
 */
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { labels } from '../../src/data/label.js';
import { insert } from '../../src/data/store/port.js';
import { timestamp } from '../../src/model/common.js';
import { addressOf, allRows } from '../../src/route/roles-page.js';
import type { Row } from '../../src/route/route.js';
import type { ErrorAnswer } from '../support/conform.js';
import { absentId } from '../support/fuzz-seed.js';
import { addSubscription } from '../support/example-people.js';
import { seedImage } from '../support/images.js';
import { addPerson, addProject, addSession, type Person, type SeededProject } from '../support/people.js';
import { seedTask } from '../support/rows.js';
import { startServer, type TestServer } from '../support/server.js';

/** Parameters of paths that name what everybody may see. */
const shared = ['asset', 'file', 'regionID', 'flavorID'];

describe('ids of others', () => {
  let server: TestServer;
  let mallory: Person;
  let own: SeededProject;
  let foreign: Record<string, string>;
  let mine: Record<string, string>;
  let foreignProject: SeededProject;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    mallory = await addPerson(server.app, 'mallory');
    const victim = await addPerson(server.app, 'victim');
    own = await addProject(server.app, { name: 'of-mallory', admins: [mallory] });
    foreignProject = await addProject(server.app, { name: 'of-victim', admins: [victim] });
    const { id: projectId, organizationId, networkIds } = foreignProject;
    const { store } = server.app;
    const task = { projectId, organizationId, queue: 'inactive', activated: false } as const;
    const place = { projectId, organizationId, regionId: server.catalog.regionId, name: 'precious' };
    const labelID = uuidv7();
    const { instanceId, taskId } = await seedTask(store, task, { ...place, labels: [labelID] });
    const made = { creationTime: timestamp(), createdBy: 'victim' };
    await store.write([
      insert(labels, labelID, { name: 'theirs', organizationId, projectId, properties: {}, ...made }),
    ]);
    foreign = {
      instanceID: instanceId,
      taskID: taskId,
      projectID: projectId,
      organizationID: organizationId,
      networkID: networkIds[0] ?? '',
      userID: victim.id,
      keyID: victim.keyId,
      labelID,
      imageID: await seedImage(store, place),
      sessionID: await addSession(server.app, victim),
      ...(await subscriptionIn(projectId)),
    };
    mine = {
      projectID: own.id,
      organizationID: own.organizationId,
      userID: mallory.id,
      keyID: mallory.keyId,
      sessionID: await addSession(server.app, mallory),
      ...(await subscriptionIn(own.id)),
    };
  });
  after(() => server.stop());

  async function subscriptionIn(projectId: string): Promise<Record<string, string>> {
    const { id, deliveryId } = await addSubscription(server, projectId);
    return { subscriptionID: id, deliveryID: deliveryId };
  }

  const parametersOf = (row: Row) => [...row[2].matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);

  async function ask(row: Row, ids: Record<string, string>) {
    const path = addressOf(row).replaceAll(/\{(\w+)\}/g, (_whole, name: string) => ids[name] ?? absentId);
    const options = row[1] === 'GET' ? {} : { body: {} };
    const { status, body } = await mallory.api.call<ErrorAnswer>(row[1], path, options);
    const { requestId: _, ...answer } = body;
    return { status, answer: JSON.stringify(answer).replaceAll(/[0-9a-f-]{36}/g, 'ID') };
  }

  const rows = allRows().filter((row) => parametersOf(row).some((name) => !shared.includes(name)));
  for (const row of rows) {
    const where = `${row[1]} ${row[2]}`;
    it(`are like none in ${where}`, async () => {
      const theirs = await ask(row, foreign);
      expect(theirs.status, theirs.answer).to.equal(404);
      expect(theirs).to.deep.equal(await ask(row, {}));
      // One of them alone among ids of the caller's own.
      for (const name of parametersOf(row).filter((one) => one in foreign)) {
        const mixed = await ask(row, { ...mine, [name]: foreign[name] ?? '' });
        // 400: the empty body is refused before anything is looked up.
        expect(mixed.status, `${name} ${mixed.answer}`).to.be.oneOf([400, 404]);
        expect(mixed).to.deep.equal(await ask(row, { ...mine, [name]: absentId }));
      }
    });
  }

  it('cover every parameter of every path: a new one says here whose it is', () => {
    const known = [...shared, ...Object.keys(foreign)];
    // Names of SSH keys are each user's own.
    for (const row of allRows())
      for (const name of parametersOf(row)) expect([...known, 'keyName'], row[2]).to.include(name);
  });

  it('filter every list to nothing', async () => {
    const lists: [string, string[]][] = [
      ['/api/v2/instances', ['organizationID', 'projectID', 'networkID']],
      ['/api/v2/tasks', ['projectID']],
      ['/api/v2/labels', ['organizationID', 'projectID']],
      ['/api/v2/status/drift', ['projectID']],
    ];
    for (const [path, names] of lists) {
      for (const name of names) {
        const { body } = await mallory.api.get<unknown[]>(`${path}?${name}=${foreign[name] ?? ''}`);
        expect(body, `${path} ${name}`).to.deep.equal([]);
      }
    }
    const tasks = await mallory.api.get<unknown[]>(`/api/v2/tasks?subjectID=${foreign['instanceID'] ?? ''}`);
    expect(tasks.body).to.deep.equal([]);
  });

  it('in bodies are like none', async () => {
    const instanceBody = (name: string, more: object) => server.instanceBody(name, more);
    const bodies: [string, (id: Record<string, string>) => object][] = [
      ['/api/v2/instances', ({ projectID }) => instanceBody('mine', { spec: { projectId: projectID } })],
      [
        '/api/v2/instances',
        ({ networkID }) => instanceBody('mine', { spec: { projectId: own.id, networkId: networkID } }),
      ],
      ['/api/v2/labels', ({ projectID }) => ({ metadata: { name: 'x' }, spec: { projectId: projectID } })],
      [
        '/api/v2/labels',
        ({ organizationID }) => ({ metadata: { name: 'x' }, spec: { organizationId: organizationID } }),
      ],
      [`/api/v2/projects/${own.id}/labels`, ({ labelID }) => ({ labelID })],
    ];
    const none = Object.fromEntries(Object.keys(foreign).map((name) => [name, absentId]));
    for (const [path, bodyOf] of bodies) {
      const answers = [];
      for (const ids of [foreign, none]) {
        const { status, body } = await mallory.api.call<ErrorAnswer>('POST', path, { body: bodyOf(ids) });
        const { requestId: _, ...answer } = body;
        answers.push({ status, answer });
      }
      expect(answers[0]?.status, path).to.equal(404);
      expect(answers[0], path).to.deep.equal(answers[1]);
    }
  });
});
