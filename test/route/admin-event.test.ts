/** The audit trail over HTTP: what it says of changes, how it is filtered and paged, and how a change is undone. */
import { expect } from 'chai';
import { auditRecords } from '../../src/data/audit.js';
import { verifyAudit } from '../../src/data/audit-check.js';
import { replace } from '../../src/data/store/port.js';
import type { AuditEvent } from '../../src/model/audit.js';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import type { Reply } from '../support/conform.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const eventsPath = '/api/v2/admin/events';
const revertPath = '/api/v2/admin/revert';
const bannerPath = '/api/v2/admin/banner';
const flagsPath = '/api/v2/admin/service_flags';
const settingsPath = '/api/v2/admin/settings';

describe('the audit trail', () => {
  let server: TestServer;
  let anna: Person;

  beforeEach(async () => {
    server = await startServer();
    anna = await addPerson(server.app, 'anna');
    await server.admin.call('PATCH', settingsPath, { body: { superUsers: ['anna'] } });
  });
  afterEach(async () => {
    expect((await verifyAudit(server.app.store)).faults).to.deep.equal([]);
    await server.stop();
  });

  const events = async (query = '') => {
    const reply = await server.admin.get<AuditEvent[]>(`${eventsPath}${query}`);
    expect(reply.status, reply.text).to.equal(200);
    return reply.body;
  };
  const last = async () => {
    const [event] = await events('?descending=true&limit=1');
    if (event === undefined) throw new Error('no event');
    return event;
  };
  const banner = (text: string, api = server.admin) => api.put(bannerPath, { banner: text, theme: '' });

  it('says who changed what, before and after, in which request', async () => {
    const { headers } = await anna.api.call('PATCH', flagsPath, {
      body: { creation: false },
      headers: { 'X-Request-Id': 'request-of-anna' },
    });
    expect(headers.get('x-request-id')).to.equal('request-of-anna');
    const [first, second] = await events();
    expect(first).to.deep.include({
      sequence: 1,
      action: 'settings.update',
      resource: { type: 'settings', id: 'site' },
      before: {},
      after: { superUsers: ['anna'] },
      previousHash: '0'.repeat(64),
    });
    expect(first?.user.name).to.equal('admin');
    expect(second).to.deep.include({
      sequence: 2,
      action: 'service_flags.update',
      user: { id: anna.id, name: 'anna' },
      requestId: 'request-of-anna',
      before: {},
      after: { creation: false },
      previousHash: first?.hash,
    });
    expect(second?.changeId).not.to.equal(first?.changeId);
  });

  it('is there for superusers alone', async () => {
    const stranger = await addPerson(server.app, 'stranger');
    await stranger.api.refused('not_found', 'GET', eventsPath);
    await stranger.api.refused('not_found', 'POST', revertPath, { body: { id: absentId } });
  });

  it('is paged and filtered by user, type, resource and time', async () => {
    await banner('one');
    await banner('two', anna.api);
    await anna.api.call('PATCH', flagsPath, { body: { 'instance.stop': false } });
    const numbers = async (query: string) => (await events(query)).map(({ sequence }) => sequence);
    expect(await numbers('')).to.deep.equal([1, 2, 3, 4]);
    expect(await numbers('?descending=true')).to.deep.equal([4, 3, 2, 1]);
    expect(await numbers('?user=anna')).to.deep.equal([3, 4]);
    expect(await numbers(`?user=${anna.id}`)).to.deep.equal([3, 4]);
    expect(await numbers('?type=banner')).to.deep.equal([2, 3]);
    expect(await numbers('?type=banner&type=settings&user=admin')).to.deep.equal([1, 2]);
    expect(await numbers('?resourceID=site&type=service_flags')).to.deep.equal([4]);
    expect(await numbers('?resourceID=elsewhere')).to.deep.equal([]);
    const { time } = await last();
    const after = new Date(Date.parse(time) + 1).toISOString();
    expect(await numbers(`?until=${after}`)).to.deep.equal([1, 2, 3, 4]);
    expect(await numbers(`?since=${after}`)).to.deep.equal([]);
    expect(await numbers(`?since=${time}`)).to.include(4);
    expect(await numbers('?until=2020-01-01T00:00:00Z')).to.deep.equal([]);
    await server.admin.refused('invalid_parameter', 'GET', `${eventsPath}?since=yesterday`);

    const seen: number[] = [];
    let path: string | undefined = `${eventsPath}?limit=3`;
    while (path !== undefined) {
      const { body, headers }: Reply<AuditEvent[]> = await server.admin.get(path);
      seen.push(...body.map(({ sequence }) => sequence));
      path = parsePaginationHeader(headers.get('link')).next?.url;
    }
    expect(seen).to.deep.equal([1, 2, 3, 4]);
  });

  it('records concurrent changes in one chain', async () => {
    await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        index % 2 === 0
          ? banner(`text ${index}`)
          : server.admin.call('PATCH', settingsPath, { body: { limits: { requests: 10_000 + index } } }),
      ),
    );
    expect((await events()).map(({ sequence }) => sequence)).to.deep.equal(
      Array.from({ length: 13 }, (_, index) => index + 1),
    );
  });

  describe('lets a change be undone', () => {
    const undo = (id: string, headers: Record<string, string> = {}) =>
      server.admin.post<AuditEvent>(revertPath, { id }, { headers });

    it('of the banner, the flags and the settings, and the undoing too', async () => {
      await server.admin.put(bannerPath, { banner: 'old', theme: 'information' });
      await server.admin.put(bannerPath, { banner: 'new', theme: 'warning' });
      const change = await last();
      const undone = await undo(change.id);
      expect(undone.status, undone.text).to.equal(200);
      expect(undone.body).to.deep.include({
        action: 'banner.revert',
        reverts: change.id,
        before: { banner: 'new', theme: 'warning' },
        after: { banner: 'old', theme: 'information' },
      });
      expect(await last()).to.deep.equal(undone.body);
      const shown = async () => (await server.admin.get(bannerPath)).body;
      expect(await shown()).to.deep.equal({ banner: 'old', theme: 'information' });
      await undo(undone.body.id);
      expect(await shown()).to.deep.equal({ banner: 'new', theme: 'warning' });

      await server.admin.call('PATCH', flagsPath, { body: { creation: false } });
      expect((await undo((await last()).id)).status).to.equal(200);
      expect((await server.admin.get(flagsPath)).body).to.include({ creation: true });

      const [first] = await events('?type=settings');
      expect((await anna.api.get(settingsPath)).status).to.equal(200);
      expect((await undo(first?.id ?? '')).status).to.equal(200);
      await anna.api.refused('not_found', 'GET', settingsPath);
    });

    it('unless the present is not what the change has left', async () => {
      await banner('one');
      const change = await last();
      await banner('two');
      await server.admin.refused('changed_since', 'POST', revertPath, { body: { id: change.id } });
      expect((await server.admin.get(bannerPath)).body).to.include({ banner: 'two' });
      // Back by hand: now the present is that again.
      await banner('one');
      expect((await undo(change.id)).status).to.equal(200);
    });

    it('once for each Idempotency-Key', async () => {
      await banner('one');
      const { id } = await last();
      const headers = { 'Idempotency-Key': 'undo-once' };
      const first = await undo(id, headers);
      const repeat = await undo(id, headers);
      expect(repeat.status, repeat.text).to.equal(200);
      expect(repeat.body).to.deep.equal(first.body);
      expect(await events()).to.have.length(3);
    });

    it('not if there is no such record, it is of something else, or it was tampered with', async () => {
      await server.admin.refused('not_found', 'POST', revertPath, { body: { id: absentId } });
      for (const body of [{}, { id: 'x' }, { id: absentId, force: true }])
        await server.admin.refused('invalid_body', 'POST', revertPath, { body });
      await banner('one');
      const { id } = await last();
      const found = await server.app.store.get(auditRecords, id);
      if (found === undefined) throw new Error('no record');
      const tampered = { ...found.value, before: { banner: 'evil', theme: 'important' } };
      await server.app.store.write([replace(auditRecords, found, tampered)]);
      await server.admin.refused('unprocessable', 'POST', revertPath, { body: { id } });
      await server.app.store.write([replace(auditRecords, { ...found, revision: 2 }, found.value)]);
      expect((await server.admin.get(bannerPath)).body).to.include({ banner: 'one' });
    });
  });
});
