/** People for the examples of the OpenAPI document: each operation finds those that it needs, and no name taken. */
import { organizations } from '../../src/data/organization.js';
import { projects } from '../../src/data/project.js';
import { sshKeys } from '../../src/data/ssh-key.js';
import { type CollectionSpec, remove } from '../../src/data/store/port.js';
import { apiKeys, users } from '../../src/data/user.js';
import { exampleIds } from '../../src/route/example.js';
import { createSshKey } from '../../src/route/ssh-key.js';
import { addPerson, addProject } from './people.js';
import type { TestServer } from './server.js';

const named = [users, organizations, projects, apiKeys, sshKeys] as CollectionSpec<{ name: string }>[];

/** Operations that change the project of their path, so that they get one of their own. */
const ofProject = ['patchProject', 'deleteProject', 'addMember', 'changeMember', 'removeMember'];

let count = 0;

/** Removes what is named `example`; gives the ids of a user with a key, and of a project that they are in. */
export async function freshPeople(server: TestServer, operationId: string): Promise<Record<string, string>> {
  const { store } = server.app;
  for (const collection of named) {
    for (const found of await store.page(collection, { order: 'id', limit: 1000 }))
      if (found.value.name === 'example') await store.write([remove(collection, found)]);
  }
  if (operationId === 'deleteSshKey')
    await server.admin.post('/api/v2/keys', createSshKey.declaration.example);
  count += 1;
  const person = await addPerson(server.app, `someone-${count}`);
  const members = operationId === 'addMember' ? [] : [person];
  const project = await addProject(server.app, { name: `something-${count}`, members });
  return {
    ...(ofProject.includes(operationId) ? { [exampleIds.projectID]: project.id } : {}),
    [exampleIds.userID]: person.id,
    [exampleIds.keyID]: person.keyId,
  };
}
