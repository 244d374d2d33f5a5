/** What the pipeline tests need besides a server: strangers, absent ids, separate projects. */
import { addPerson, addProject, type Person, type SeededProject } from './people.js';
import type { TestServer } from './server.js';

/** Well formed, and never assigned. */
export const absentId = '0193a5c0-ffff-7000-8000-00000000dead';

let count = 0;

/** A user with a key and a project, who may see nothing of the default project. */
export async function addOutsider(server: TestServer): Promise<Person & { project: SeededProject }> {
  count += 1;
  const person = await addPerson(server.app, `outsider-${count}`);
  const project = await addProject(server.app, { name: `outside-${count}`, members: [person] });
  return { ...person, project };
}
