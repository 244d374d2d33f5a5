import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { ErrorAnswer, Reply } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

const address = (instance: Instance) => `/api/v2/instances/${instance.metadata.id}`;
const absolute = (server: TestServer, taskId: string | undefined) =>
  `${server.url}/api/v2/tasks/${taskId ?? ''}`;

describe('POST /api/v2/instances/{instanceID}/start, stop and reboot', () => {
  let server: TestServer;

  const power = (instance: Instance, verb: string) => server.admin.post(`${address(instance)}/${verb}`);
  const done = async (reply: Reply) => {
    expect(reply.status, reply.text).to.equal(202);
    return server.ended(reply.headers.get('location'));
  };
  const stopped = async (name: string) => {
    const instance = await server.running(name);
    await done(await power(instance, 'stop'));
    return server.settled(instance.metadata.id, (one) => one.status.powerState === 'Stopped');
  };
  const boots = (instance: Instance) =>
    server.cloud.servers().find((one) => one.id === instance.metadata.id)?.boots;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('stop answers 202 with the task, and ends with a stopped machine that counts as healthy', async () => {
    const instance = await server.running('stops');
    server.cloud.program({ verb: 'stopServer', delay: 300, times: 1 });
    const reply = await power(instance, 'stop');
    expect(reply.status).to.equal(202);
    expect(reply.text).to.equal('');
    expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
    const { body } = await server.admin.get<Instance>(address(instance));
    expect(body.status.powerState).to.equal('Stopping');
    expect(reply.headers.get('location')).to.equal(absolute(server, body.status.taskId));
    expect(await done(reply)).to.include({ type: 'instance.stop', status: 'succeeded' });
    const after = await server.settled(instance.metadata.id);
    expect(after.status.powerState).to.equal('Stopped');
    expect(after.metadata).to.include({ healthStatus: 'healthy', provisioningStatus: 'provisioned' });
  });

  it('start brings a stopped machine up again', async () => {
    const instance = await stopped('starts');
    server.cloud.program({ verb: 'startServer', delay: 300, times: 1 });
    const reply = await power(instance, 'start');
    expect((await server.admin.get<Instance>(address(instance))).body.status.powerState).to.be.oneOf([
      'Pending',
      'Building',
    ]);
    expect(await done(reply)).to.include({ type: 'instance.start', status: 'succeeded' });
    expect((await server.settled(instance.metadata.id)).status.powerState).to.equal('Running');
    expect(boots(instance)).to.equal(2);
  });

  it('reboot boots the machine once more, softly or hard', async () => {
    const instance = await server.running('reboots');
    for (const [count, query] of ['', '?hard=false', '?hard=true'].entries()) {
      expect(await done(await power(instance, `reboot${query}`))).to.include({
        type: 'instance.reboot',
        status: 'succeeded',
      });
      expect((await server.settled(instance.metadata.id)).status.powerState).to.equal('Running');
      expect(boots(instance)).to.equal(count + 2);
    }
  });

  it('refuses what the power state does not allow, and names the state', async () => {
    const running = await server.running('is-running');
    const halted = await stopped('is-stopped');
    const cases: [Instance, string, string][] = [
      [running, 'start', 'Running'],
      [halted, 'stop', 'Stopped'],
      [halted, 'reboot', 'Stopped'],
      [halted, 'reboot?hard=true', 'Stopped'],
    ];
    for (const [instance, verb, state] of cases) {
      const reply = await server.admin.refused(
        'power_state_conflict',
        'POST',
        `${address(instance)}/${verb}`,
      );
      expect(reply.body.message).to.include(state).and.to.include(verb.split('?')[0]);
    }
  });

  it('refuses a verb while another task holds the instance, and gives the absolute address of that task', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const instance = await server.createInstance('held');
    for (const verb of ['start', 'stop', 'reboot']) {
      const reply = await server.admin.refused('instance_busy', 'POST', `${address(instance)}/${verb}`);
      expect(reply.body).to.include({ retryable: true, blockedBy: absolute(server, instance.status.taskId) });
      expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
    }
    const { blockedBy } = (await server.admin.call<ErrorAnswer>('POST', `${address(instance)}/stop`)).body;
    expect((await server.admin.get(blockedBy ?? '')).status).to.equal(200);
    await server.deleteInstance(instance.metadata.id);
  });

  it('merges equal requests into one task, which acts once', async () => {
    const instance = await server.running('merged');
    server.cloud.program({ verb: 'stopServer', delay: 60_000, times: 1 });
    const replies = await Promise.all(Array.from({ length: 10 }, () => power(instance, 'stop')));
    expect(new Set(replies.map((reply) => reply.headers.get('location'))).size).to.equal(1);
    expect(new Set(replies.map((reply) => reply.status))).to.deep.equal(new Set([202]));
    const stops = () => server.cloud.history(instance.metadata.id).filter((one) => one.verb === 'stopServer');
    await eventually(() => stops().length > 0);
    await server.deleteInstance(instance.metadata.id);
    expect(stops()).to.have.length(1);
  });

  it('does not merge a hard reboot with a soft one', async () => {
    const instance = await server.running('mixed');
    server.cloud.program({ verb: 'rebootServer', delay: 60_000, times: 1 });
    const soft = await power(instance, 'reboot');
    expect((await power(instance, 'reboot?hard=false')).headers.get('location')).to.equal(
      soft.headers.get('location'),
    );
    const hard = await server.admin.refused('instance_busy', 'POST', `${address(instance)}/reboot?hard=true`);
    expect(hard.body.blockedBy).to.equal(soft.headers.get('location'));
    await server.deleteInstance(instance.metadata.id);
  });

  it('lets a stop win over a soft reboot that is under way: the machine is off in the end, and stays so', async () => {
    const instance = await server.running('outdone');
    server.cloud.program({ verb: 'rebootServer', delay: 1500, times: 1 });
    const reboot = await power(instance, 'reboot');
    const rebooting = () =>
      server.cloud.history(instance.metadata.id).some(({ verb }) => verb === 'rebootServer');
    await eventually(rebooting, { what: 'the reboot to begin' });
    const stop = await power(instance, 'stop');
    expect(stop.status).to.equal(202);
    expect(stop.headers.get('location')).not.to.equal(reboot.headers.get('location'));
    expect((await power(instance, 'stop')).headers.get('location')).to.equal(stop.headers.get('location'));
    const outdone = await server.ended(reboot.headers.get('location'));
    expect(outdone).to.include({ status: 'cancelled' });
    expect(outdone.cause).to.include({ code: 'superseded' });
    expect(await server.ended(stop.headers.get('location'))).to.include({ status: 'succeeded' });
    expect((await server.settled(instance.metadata.id)).status.powerState).to.equal('Stopped');
    expect(server.cloud.servers().find(({ id }) => id === instance.metadata.id)?.powerState).to.equal(
      'Stopped',
    );
    expect(await done(await power(instance, 'start'))).to.include({ status: 'succeeded' });
  });

  it('puts an instance back to running when the stop is aborted that has outdone its reboot', async () => {
    const instance = await server.running('undecided');
    server.cloud.program({ verb: 'rebootServer', delay: 1500, times: 1 });
    const reboot = await power(instance, 'reboot');
    await eventually(async () => (await server.task(reboot.headers.get('location'))).status === 'running');
    const stop = await power(instance, 'stop');
    await server.admin.post(`${stop.headers.get('location') ?? ''}/abort`);
    await server.ended(reboot.headers.get('location'));
    expect(await server.ended(stop.headers.get('location'))).to.include({ status: 'cancelled' });
    await server.settled(instance.metadata.id, ({ status }) => status.powerState === 'Running');
  });

  for (const state of ['Pending', 'Queued', 'Building', 'Stopping', 'Rebuilding'] as const) {
    it(`leads a machine that stays ${state} out of it, by stop and by start`, async () => {
      const { metadata } = await server.running(`stays-${state.toLowerCase()}`);
      const reaches = (power: string) =>
        server.settled(metadata.id, ({ status }) => status.powerState === power);
      const stays = (): Promise<Instance> => {
        server.cloud.interfere(metadata.id, { powerState: state });
        return reaches(state);
      };
      expect(await done(await power(await stays(), 'stop'))).to.include({ status: 'succeeded' });
      await reaches('Stopped');
      expect(await done(await power(await stays(), 'start'))).to.include({ status: 'succeeded' });
      await reaches('Running');
    });
  }

  for (const [verb, method] of [
    ['stop', 'stopServer'],
    ['reboot', 'rebootServer'],
  ] as const) {
    it(`shows what was known before when a ${verb} has failed and the region cannot tell how the machine is`, async () => {
      const instance = await server.running(`unseen-${verb}`);
      const serverId = instance.metadata.id;
      server.cloud.program({ verb: method, serverId, error: 'terminal', times: 1 });
      server.cloud.program({ verb: 'describeServers', serverId, error: 'transient' });
      expect(await done(await power(instance, verb))).to.include({ status: 'failed' });
      const { body } = await server.admin.get<Instance>(address(instance));
      expect(body.status.powerState).to.equal('Running');
      expect(body.metadata.provisioningStatusDetail?.message).to.include('programmed to fail');
      server.cloud.clearProgram();
      expect(await done(await power(instance, verb))).to.include({ status: 'succeeded' });
    });
  }

  it('lets a delete abort a power verb that is under way', async () => {
    const instance = await server.running('cut-short');
    server.cloud.program({ verb: 'stopServer', delay: 60_000, times: 1 });
    const stop = await power(instance, 'stop');
    await eventually(async () => (await server.task(stop.headers.get('location'))).status === 'running');
    const deletion = await server.admin.delete(address(instance));
    expect(await server.ended(stop.headers.get('location'))).to.include({ status: 'cancelled' });
    expect(await server.ended(deletion.headers.get('location'))).to.include({ status: 'succeeded' });
  });

  it('refuses verbs on an instance that is being deleted', async () => {
    const instance = await server.running('leaving');
    server.cloud.program({ verb: 'deleteServer', delay: 800, times: 1 });
    const deletion = await server.admin.delete(address(instance));
    for (const verb of ['start', 'stop', 'reboot']) {
      const reply = await server.admin.refused('being_deleted', 'POST', `${address(instance)}/${verb}`);
      expect(reply.body.blockedBy).to.equal(deletion.headers.get('location'));
    }
  });

  it('tells the truth about the power again soon after a verb has failed', async () => {
    const instance = await server.running('unstoppable');
    server.cloud.program({ verb: 'stopServer', error: 'terminal', times: 1 });
    const task = await done(await power(instance, 'stop'));
    expect(task).to.include({ status: 'failed' });
    const after = await server.settled(instance.metadata.id, (one) => one.status.powerState === 'Running');
    expect(after.metadata).to.include({ provisioningStatus: 'provisioned', healthStatus: 'healthy' });
    expect(await done(await power(instance, 'stop'))).to.include({ status: 'succeeded' });
  });

  it('keeps the reason of a failed verb on the instance', async () => {
    const instance = await server.running('complains');
    server.cloud.program({ verb: 'stopServer', error: 'terminal', times: 1 });
    await done(await power(instance, 'stop'));
    const { body } = await server.admin.get<Instance>(address(instance));
    expect(body.metadata.provisioningStatusDetail).to.deep.include({ reason: 'Power' });
    expect(body.metadata.provisioningStatusDetail?.message).to.include('programmed to fail');
  });

  it('refuses a value of `hard` that is neither true nor false', async () => {
    const instance = await server.running('hardly');
    for (const value of ['', '1', 'TRUE', 'yes', 'true&hard=true']) {
      await server.admin.refused('invalid_parameter', 'POST', `${address(instance)}/reboot?hard=${value}`);
    }
    expect(boots(instance)).to.equal(1);
  });
});
