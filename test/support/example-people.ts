/** People for the examples of the OpenAPI document: each operation finds those that it needs, and no name taken. */
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { labels } from '../../src/data/label.js';
import { organizations } from '../../src/data/organization.js';
import { projects } from '../../src/data/project.js';
import { sshKeys } from '../../src/data/ssh-key.js';
import { type CollectionSpec, insert, remove, replace } from '../../src/data/store/port.js';
import { storedImages } from '../../src/data/stored-image.js';
import { subscriptions } from '../../src/data/subscription.js';
import { apiKeys, users } from '../../src/data/user.js';
import { deliveries } from '../../src/data/webhook.js';
import { exampleIds } from '../../src/route/example.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { WithLabels } from '../../src/model/label.js';
import type { SubscriptionRecord } from '../../src/model/subscription.js';
import type { DeliveryRecord } from '../../src/model/webhook.js';
import { createSshKey } from '../../src/route/ssh-key.js';
import type { Api } from './conform.js';
import { pendingUpload, seedImage } from './images.js';
import { addPerson, addProject, addSession } from './people.js';
import type { TestServer } from './server.js';

const named = [users, organizations, projects, apiKeys, sshKeys, labels, storedImages] as CollectionSpec<{
  name: string;
}>[];

/** Operations that change the project of their path, so that they get one of their own. */
const ofProject = [
  'patchProject',
  'deleteProject',
  'addProjectMember',
  'changeProjectMember',
  'removeProjectMember',
  'addProjectOwner',
  'removeProjectOwner',
];

/** Operations that change an image, which those of the catalogs refuse. */
const ofImage = ['patchImage', 'deleteImage', 'getImageContent', 'appendImageContent'];

let count = 0;

/** Removes what is named `example`; gives the ids of a user with a key, of a project that they are in, and of a label. */
export async function freshPeople(
  server: TestServer,
  operationId: string,
  instanceId: string,
): Promise<Record<string, string>> {
  const { store } = server.app;
  for (const collection of named) {
    for (const found of await store.page(collection, { order: 'id', limit: 1000 }))
      if (found.value.name === 'example') await store.write([remove(collection, found)]);
  }
  if (operationId === 'deleteSshKey')
    await server.admin.post('/api/v2/keys', createSshKey.declaration.example);
  count += 1;
  const person = await addPerson(server.app, `someone-${count}`);
  const members = operationId === 'addProjectMember' ? [] : [person];
  // One admin is left when the other is removed.
  const admins =
    operationId === 'removeProjectOwner' ? [person, await addPerson(server.app, `other-${count}`)] : [];
  const project = await addProject(server.app, { name: `something-${count}`, admins, members });
  const { organizationId, projectId } = server.catalog;
  if (/^(change|remove)Organization(Member|Owner)$/.test(operationId)) {
    const found = await store.get(organizations, organizationId);
    const other = await addPerson(server.app, `another-${count}`);
    if (found !== undefined)
      await store.write([replace(organizations, found, { ...found.value, admins: [person.id, other.id] })]);
  }
  const resources = [organizationId, projectId, instanceId, person.id];
  return {
    ...(await freshLabel(server, operationId, resources)),
    ...(ofImage.includes(operationId)
      ? {
          [exampleIds.imageID]: await seedImage(
            store,
            server.catalog,
            operationId.endsWith('Content') ? pendingUpload : {},
          ),
        }
      : {}),
    ...(ofProject.includes(operationId) ? { [exampleIds.projectID]: project.id } : {}),
    [exampleIds.userID]: person.id,
    [exampleIds.keyID]: person.keyId,
    [exampleIds.sessionID]: await addSession(server.app, person),
    ...(await freshSubscription(server)),
  };
}

async function freshSubscription(server: TestServer): Promise<Record<string, string>> {
  const { store } = server.app;
  for (const old of await store.page(subscriptions, { order: 'id', limit: 100 }))
    await store.write([remove(subscriptions, old)]);
  const { id, deliveryId } = await addSubscription(server);
  return { [exampleIds.subscriptionID]: id, [exampleIds.deliveryID]: deliveryId };
}

/** A subscription of the project that no event of a test fits, with a failed delivery. */
export async function addSubscription(
  { app: { store }, catalog }: TestServer,
  projectId: string = catalog.projectId,
): Promise<{ id: string; deliveryId: string }> {
  const [id, deliveryId] = [uuidv7(), uuidv7()];
  const creationTime = new Date().toISOString();
  const subscription: SubscriptionRecord = {
    ownerType: 'project',
    owner: projectId,
    selectors: [{ type: 'resource', data: id }],
    url: 'https://example.com/hooks',
    secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    creationTime,
    createdBy: 'test',
  };
  const delivery: DeliveryRecord = {
    subscriptionId: id,
    type: 'webhook.ping',
    payload: '{}',
    status: 'failed',
    attempts: 1,
    due: 0,
    creationTime,
  };
  await store.write([insert(subscriptions, id, subscription), insert(deliveries, deliveryId, delivery)]);
  return { id, deliveryId };
}

/** A label of the organization. */
export async function addLabel({ app: { store }, catalog: { organizationId } }: TestServer): Promise<string> {
  const id = uuidv7();
  const made = { creationTime: new Date().toISOString(), createdBy: 'test' };
  await store.write([insert(labels, id, { name: id, organizationId, properties: {}, ...made })]);
  return id;
}

/** A label of the organization, which resources with these ids have if the operation takes it off. */
async function freshLabel(
  server: TestServer,
  operationId: string,
  resources: readonly string[],
): Promise<Record<string, string>> {
  const id = await addLabel(server);
  if (/^remove\w+Label$/.test(operationId)) {
    const { store } = server.app;
    for (const collection of [organizations, projects, instances, users] as CollectionSpec<WithLabels>[])
      for (const resourceId of resources) {
        const found = await store.get(collection, resourceId);
        if (found !== undefined)
          await store.write([replace(collection, found, { ...found.value, labels: [id] })]);
      }
  }
  return { [exampleIds.labelID]: id };
}

/** The id of the record of a change that can be reverted. */
export async function changeToRevert(admin: Api): Promise<string> {
  await admin.put('/api/v2/admin/banner', { banner: 'to be undone', theme: '' });
  const { body } = await admin.get<AuditEvent[]>('/api/v2/admin/events?type=banner&descending=true&limit=1');
  return body[0]?.id ?? '';
}
