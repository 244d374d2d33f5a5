// Creates instances, waits until they run, lists them, follows their events, and deletes them.
//   COPSE_URL=http://127.0.0.1:8080 COPSE_API_KEY=$(cat data/admin.key) node examples/fleet.mjs 2
import { CallError, createClient, followEvents, TaskError, waitForTask } from 'copse/client';

const { COPSE_URL = 'http://127.0.0.1:8080', COPSE_API_KEY } = process.env;
const count = Number(process.argv[2] ?? 2);
const client = createClient(COPSE_URL, COPSE_API_KEY);

const [project] = (await client.get('/api/v2/projects')).body;
const catalog = `/api/v1/organizations/${project.metadata.organizationId}/regions`;
const [region] = (await client.get(catalog)).body;
const [flavor] = (await client.get(`${catalog}/${region.metadata.id}/flavors`)).body;
const images = (await client.get(`${catalog}/${region.metadata.id}/images`)).body;
const image = images.find(({ spec }) => (spec.minMemoryMiB ?? 0) <= flavor.spec.memoryMiB);

try {
  const made = [];
  for (let number = 1; number <= count; number += 1) {
    const metadata = { name: `fleet-${number}`, tags: [{ name: 'fleet', value: 'example' }] };
    const spec = {
      projectId: project.metadata.id,
      regionId: region.metadata.id,
      flavorId: flavor.metadata.id,
      imageId: image.metadata.id,
    };
    // If the response is lost, it is repeated under the same Idempotency-Key: nothing is made twice.
    made.push((await client.post('/api/v2/instances', { metadata, spec })).body);
  }
  for (const { metadata, status } of made) {
    if (status.taskId !== undefined) await waitForTask(client, status.taskId, { timeout: 120_000 });
    console.log(`${metadata.name} runs`);
  }
  // Pages are requested as they are needed.
  for await (const { metadata, status } of client.items('/api/v2/instances?tag=fleet%3Dexample&limit=1'))
    console.log(`${metadata.name} ${status.powerState}`);

  const end = new AbortController();
  const options = { after: '0', type: ['instance.created'], signal: end.signal };
  let seen = 0;
  for await (const { type, resource } of followEvents(client, options)) {
    console.log(`${type} ${resource?.metadata.name ?? ''}`);
    seen += 1;
    if (seen === count) end.abort();
  }
  for (const { metadata } of made) await client.delete(`/api/v2/instances/${metadata.id}`, { wait: 60 });
  console.log('deleted');
} catch (error) {
  if (error instanceof CallError)
    console.error(`${error.code}: ${error.message} (request ${error.requestId})`);
  else if (error instanceof TaskError) console.error(`${error.task.type}: ${error.task.cause?.message}`);
  else throw error;
  process.exitCode = 1;
}
