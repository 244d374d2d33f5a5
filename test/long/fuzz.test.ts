/**
 * An API fuzzer driven by /openapi.json. COPSE_FUZZ_SECONDS sets how long it runs (60), COPSE_FUZZ_SEED what it tries:
 * the same seed tries the same requests in the same order.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import { eventually } from '../support/eventually.js';
import { addLabel, addSubscription } from '../support/example-people.js';
import { Fuzzer } from '../support/fuzz.js';
import { anyPlan, type FuzzDocument } from '../support/fuzz-request.js';
import { addOutsider } from '../support/fuzz-seed.js';
import { addPerson, addProject } from '../support/people.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

const seconds = Number(process.env['COPSE_FUZZ_SECONDS'] ?? 60);
const seed = Number(process.env['COPSE_FUZZ_SEED'] ?? 20_260_101);

describe('the API under random requests', function () {
  this.timeout((seconds + 120) * 1000);
  let server: TestServer;
  let fuzzer: Fuzzer;
  let document: FuzzDocument;

  before(async () => {
    server = await startServer({
      flags: {
        limits: { requests: 0 },
        simulated: { delay: 2, failureRate: 0.05 },
        tasks: { grace: 5, sweep: 5 },
        instances: { maxLifetime: 36500 },
      },
    });
    // So that some tasks have failed, and some are under way, when somebody wants to restart or change them.
    const lasting: string[] = [];
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 10 });
    for (let n = 0; n < 10; n += 1)
      lasting.push((await server.ended((await server.createInstance(`failed-${n}`)).status.taskId)).id);
    server.cloud.program({ verb: 'ensureServer', delay: 600_000, times: 10 });
    for (let n = 0; n < 10; n += 1) {
      const { status } = await server.createInstance(`held-${n}`);
      await eventually(async () => (await server.task(status.taskId)).status === 'running');
      lasting.push(status.taskId ?? '');
    }
    document = (await server.admin.get<FuzzDocument>('/openapi.json')).body;
    const outsiders = [await addOutsider(server), await addOutsider(server)];
    fuzzer = new Fuzzer(server.url, [adminKey, ...outsiders.map(({ key }) => key)], document);
    const { organizationId, regionId, networkId, flavors, images } = server.catalog;
    fuzzer.learn('taskid', ...lasting);
    fuzzer.learn('organizationid', organizationId);
    // Projects that can be deleted: the default one, in which the instances are, must outlive all requests.
    for (let n = 0; n < 20; n += 1) {
      const person = await addPerson(server.app, `fuzzed-${n}`);
      const project = await addProject(server.app, { name: `fuzzed-${n}`, members: [person] });
      fuzzer.learn('projectid', project.id);
      if (n < 2) fuzzer.learn('userid', person.id);
      if (n < 2) fuzzer.learn('keyid', person.keyId);
    }
    for (let n = 0; n < 20; n += 1) {
      fuzzer.learn('labelid', await addLabel(server));
      fuzzer.learn('subscriptionid', (await addSubscription(server)).id);
    }
    fuzzer.learn('regionid', regionId);
    fuzzer.learn('networkid', networkId);
    fuzzer.learn('flavorid', ...Object.values(flavors).slice(0, 2));
    fuzzer.learn('imageid', ...Object.values(images).slice(0, 2));
    for (let n = 0; n < 5; n += 1) {
      const spec = n % 2 === 0 ? {} : { expiresAt: '2035-01-01T00:00:00Z' };
      const { metadata, status } = await server.createInstance(`seed-${n}`, { spec });
      fuzzer.learn('instanceid', metadata.id);
      fuzzer.learn('taskid', status.taskId ?? '');
    }
  });
  after(async () => {
    fuzzer.close();
    await server.stop();
  });

  /** Low limits or switched-off functions would leave little to the requests that follow. */
  async function resetSettings(): Promise<void> {
    const { settings } = server.app.connector;
    const principal = { id: '0193a5c0-0000-7000-8000-00000000000f', name: 'fuzz', superUser: true };
    const caller = { principal, requestId: 'fuzz', signal: new AbortController().signal };
    await settings.putFlags(caller, {});
    await settings.patch(caller, { superUsers: null, limits: null, instances: null });
  }

  it(`never answers 5xx nor anything that its document does not say, for ${seconds} s from seed ${seed}`, async () => {
    // Requests of one group are made at once, groups one after the other.
    const sequence = fc.array(fc.array(anyPlan(document), { minLength: 1, maxLength: 6 }), {
      minLength: 1,
      maxLength: 10,
    });
    const { errorInstance } = await fc.check(
      fc.asyncProperty(sequence, async (groups) => {
        for (const group of groups) await Promise.all(group.map((plan) => fuzzer.run(plan)));
      }),
      // A failure depends on what the requests before it left behind, so there is nothing to shrink.
      {
        seed,
        numRuns: 10_000_000,
        interruptAfterTimeLimit: seconds * 1000,
        endOnFailure: true,
        plugins: [fc.afterEach(resetSettings)],
      },
    );
    process.stdout.write(`${report(fuzzer)}\n`);
    // With its message, which has the request as a curl line; the plan that led to it would say less.
    if (errorInstance !== null) throw errorInstance as Error;
    for (const methods of Object.values(document.paths)) {
      for (const { operationId } of Object.values(methods)) {
        if (needingMore.includes(operationId)) continue;
        const statuses = [...(fuzzer.counts.get(operationId)?.keys() ?? [])];
        expect(
          statuses.some((status) => status < 300),
          `${operationId} succeeded at least once`,
        ).to.be.true;
      }
    }
  });

  it('is as well as before, and every instance comes to rest', async () => {
    const { status, body } = await server.admin.get<{ status: string }>('/health');
    expect([status, body.status]).to.deep.equal([200, 'pass']);
    await server.running('afterwards');
    expect(({} as Record<string, unknown>)['polluted']).to.be.undefined;
    expect(Object.keys(Object.prototype)).to.deep.equal([]);
  });
});

/**
 * Operations that need what no arbitrary value is: a key of the right form, a public URL, a cookie, a site without users,
 * two ids that belong together, or an image that no catalog has.
 */
const needingMore = [
  'rotateApiKey',
  ...['createSshKey', 'deleteSshKey', 'putSubscription', 'createSetup'],
  ...[
    'restoreInstance',
    'signOut',
    'endSession',
    'changeProjectMember',
    'removeProjectMember',
    'removeProjectOwner',
  ],
  ...['changeOrganizationMember', 'removeOrganizationMember', 'removeOrganizationOwner'],
  ...['createImage', 'patchImage', 'deleteImage', 'getImageContent', 'appendImageContent'],
  ...['getDelivery', 'replayDelivery', 'deleteSubscriptionByQuery'],
  ...['Instance', 'Project', 'Organization', 'User'].flatMap((resource) => [
    `add${resource}Label`,
    `remove${resource}Label`,
  ]),
];

/** How many requests were made, and what they got. */
function report({ requests, counts }: Fuzzer): string {
  const lines = [...counts].sort().map(([operation, statuses]) => {
    const parts = [...statuses].sort().map(([status, count]) => `${status}: ${count}`);
    return `  ${operation.padEnd(28)} ${parts.join(', ')}`;
  });
  return [`${requests} requests`, ...lines].join('\n');
}
