/** GET /api/v2/events: the change log as a page and as a stream. */
import { expect } from 'chai';
import { projects } from '../../src/data/project.js';
import { insert, replace } from '../../src/data/store/port.js';
import { instances } from '../../src/data/instance.js';
import { users } from '../../src/data/user.js';
import type { Event } from '../../src/model/event.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import { checkedFetch, type Reply } from '../support/conform.js';
import { EventStream } from '../support/event-stream.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject } from '../support/people.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/events';

describe('events', () => {
  let server: TestServer;
  const streams: EventStream[] = [];

  beforeEach(async () => {
    server = await startServer();
  });
  afterEach(async () => {
    for (const stream of streams.splice(0)) stream.close();
    await server.stop();
  });

  async function stream(options: { key?: string; query?: string; lastEventId?: string } = {}) {
    const opened = await EventStream.open({ url: server.url, key: adminKey, ...options });
    streams.push(opened);
    return opened;
  }

  async function page(query = '', api = server.admin): Promise<Event[]> {
    const { status, body, text } = await api.get<Event[]>(path + query);
    expect(status, text).to.equal(200);
    return body;
  }

  describe('as a page', () => {
    it('tell the life of an instance and of its task, each with the resource of that moment', async () => {
      const { metadata, status } = await server.createInstance('a');
      await server.settled(metadata.id, (instance) => instance.status.powerState === 'Running');
      await server.deleteInstance(metadata.id);
      const events = await page(`?resourceID=${metadata.id}`);
      expect(events[0]).to.deep.include({ type: 'instance.created', revision: 1, resourceId: metadata.id });
      expect((events[0]?.resource as Instance).metadata.name).to.equal('a');
      const power = events.map(({ resource }) => (resource as Instance | null)?.status.powerState);
      expect(power).to.include('Running');
      expect(events.at(-1)).to.deep.include({ type: 'instance.deleted', resource: null });
      const revisions = events.slice(0, -1).map(({ revision }) => revision);
      expect(revisions, 'none is missing').to.deep.equal(revisions.map((_, index) => index + 1));
      const ofTask = await page(`?subject=task&resourceID=${status.taskId ?? ''}`);
      const states = ofTask.map(({ resource }) => (resource as Task).status);
      expect(states[0]).to.equal('pending');
      expect(states.at(-1)).to.equal('succeeded');
      expect(states).to.include('running');
    });

    it('are walked by links to the end, and later from the last id on', async () => {
      for (const name of ['a', 'b', 'c']) await server.running(name);
      const all = await page('?limit=1000');
      const walked: Event[] = [];
      for (
        let next: string | undefined = `${path}?limit=3&subject=instance&subject=task`;
        next !== undefined;
      ) {
        const reply: Reply<Event[]> = await server.admin.get<Event[]>(next);
        walked.push(...reply.body);
        next = parsePaginationHeader(reply.headers.get('link'), 'after').next?.url;
      }
      expect(walked).to.deep.equal(all);
      const last = all.at(-1)?.id ?? '';
      expect(await page(`?after=${last}`)).to.deep.equal([]);
      const { metadata } = await server.createInstance('d');
      expect((await page(`?after=${last}`))[0]).to.deep.include({ resourceId: metadata.id });
    });

    it('refuse a position that never was, one that is no number, and one that is gone', async () => {
      await server.running('a');
      await server.admin.refused('invalid_parameter', 'GET', `${path}?after=999999`);
      for (const wrong of ['-1', 'x', '1.5', '01', '1e3'])
        await server.admin.refused('invalid_parameter', 'GET', `${path}?after=${wrong}`);
      const headers = { 'Last-Event-ID': 'x' };
      await server.admin.refused('invalid_parameter', 'GET', path, { headers });
      await server.app.store.trimChanges('2999-01-01T00:00:00.000Z');
      const { body } = await server.admin.refused('events_expired', 'GET', `${path}?after=0`);
      const last = /after (\d+)/.exec(body.message)?.[1] ?? '';
      expect(await page(`?after=${last}`)).to.deep.equal([]);
    });
  });

  describe('as a stream', () => {
    it('come as they happen, from now on, and only what was asked for', async () => {
      await server.running('before');
      const live = await stream({ query: '?subject=instance' });
      expect(live.response.headers.get('content-type')).to.equal('text/event-stream');
      expect(live.response.headers.get('cache-control')).to.equal('no-store');
      const { metadata } = await server.createInstance('a');
      const events = await live.until(
        ({ resource }) => (resource as Instance | null)?.status.powerState === 'Running',
      );
      expect(events[0]).to.deep.include({ type: 'instance.created', resourceId: metadata.id });
      expect(events.every(({ resourceId }) => resourceId === metadata.id)).to.equal(true);
      expect(events.map(({ id }) => Number(id))).to.satisfy((ids: number[]) =>
        ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? 0)),
      );
    });

    it('go on behind Last-Event-ID after any number of breaks, with none lost and none twice', async () => {
      const expected: string[] = [];
      const seen: Event[] = [];
      let lastEventId = '0';
      for (let round = 0; round < 5; round += 1) {
        const { metadata } = await server.createInstance(`r${round}`);
        expected.push(metadata.id);
        const live = await stream({ lastEventId });
        // Leaves in the middle of what is there.
        for (let n = 0; n < 2 + round; n += 1) {
          const event = await live.next();
          if (event !== undefined) seen.push(event);
        }
        ({ lastEventId } = live);
        live.close();
      }
      for (const id of expected) await server.settled(id);
      const all = await page('?limit=1000');
      const rest = await stream({ lastEventId });
      const last = all.at(-1)?.id;
      if (lastEventId !== last) seen.push(...(await rest.until(({ id }) => id === last)));
      expect(seen).to.deep.equal(all);
    });

    it('are held up by no slow reader, who in the end has all of them too', async () => {
      const slow = await stream();
      const quick = await stream();
      const { projectId, networkId } = server.catalog;
      const { metadata } = await server.running('model');
      const model = (await server.app.store.get(instances, metadata.id))?.value;
      if (model === undefined) throw new Error('not there');
      const description = 'x'.repeat(1000);
      const count = 3000;
      for (let at = 0; at < count; at += 500) {
        await server.app.store.write(
          Array.from({ length: 500 }, (_, n) => {
            const id = `0193a5c0-0000-7000-8000-${String(at + n).padStart(12, '0')}`;
            return insert(instances, id, { ...model, projectId, networkId, name: `n${at + n}`, description });
          }),
        );
      }
      const isLast = (event: Event) => event.resourceId.endsWith(String(count - 1).padStart(12, '0'));
      const byQuick = await quick.until(isLast);
      const { metadata: next } = await server.createInstance('after');
      await quick.until(({ resourceId }) => resourceId === next.id);
      const bySlow = await slow.until(isLast);
      expect(bySlow).to.deep.equal(byQuick);
      expect(new Set(bySlow.map(({ id }) => id)).size).to.equal(bySlow.length);
    }).timeout(90_000);

    it('end for a reader so slow that events were dropped before they were read, and tells it so', async () => {
      const slow = await stream({ lastEventId: '0' });
      const { projectId, networkId } = server.catalog;
      const { metadata } = await server.running('model');
      const model = (await server.app.store.get(instances, metadata.id))?.value;
      if (model === undefined) throw new Error('not there');
      // More than sockets hold.
      const description = 'x'.repeat(50_000);
      const count = 1000;
      for (let at = 0; at < count; at += 100) {
        await server.app.store.write(
          Array.from({ length: 100 }, (_, n) => {
            const id = `0193a5c0-0000-7000-8000-${String(at + n).padStart(12, '0')}`;
            return insert(instances, id, { ...model, projectId, networkId, name: `n${at + n}`, description });
          }),
        );
      }
      await server.app.store.trimChanges('2999-01-01T00:00:00.000Z');
      await server.createInstance('after');
      let seen = 0;
      for (let event = await slow.next(); event !== undefined; event = await slow.next()) {
        seen += 1;
        if (event.type.startsWith('instance'))
          expect((event.resource as Instance).metadata.name).not.to.equal('after');
      }
      expect(seen).to.be.below(count);
      const headers = { 'Last-Event-ID': slow.lastEventId };
      await server.admin.refused('events_expired', 'GET', path, { headers });
    }).timeout(30_000);

    it('end soon when the server stops, and when the account is no longer active', async () => {
      const person = await addPerson(server.app, 'leaver');
      const theirs = await stream({ key: person.key });
      const found = await server.app.store.get(users, person.id);
      if (found === undefined) throw new Error('not there');
      await server.app.store.write([replace(users, found, { ...found.value, active: false })]);
      expect(await theirs.next()).to.be.undefined;
      const mine = await stream();
      const started = Date.now();
      await server.app.stop();
      expect(await mine.next()).to.be.undefined;
      expect(Date.now() - started).to.be.below(5000);
    });

    it('are refused like pages: without a credential, with a wrong position', async () => {
      const Accept = 'text/event-stream';
      const anonymous = await checkedFetch(server.url + path, { headers: { Accept } });
      expect(anonymous.status).to.equal(401);
      await anonymous.body?.cancel();
      await server.admin.refused('invalid_parameter', 'GET', `${path}?after=77`, { headers: { Accept } });
      const head = await server.admin.call('HEAD', path, { headers: { Accept } });
      expect(head.status).to.equal(200);
    });

    it('do not run into the time limit of requests', async () => {
      await server.stop();
      server = await startServer({ flags: { server: { requestTimeout: 1 } } });
      const live = await stream();
      const opened = Date.now();
      await eventually(() => (Date.now() - opened > 1500 ? true : undefined), { what: 'the limit to pass' });
      const { metadata } = await server.createInstance('late');
      expect((await live.next())?.resourceId).to.equal(metadata.id);
    });
  });

  describe('of a project', () => {
    it('are seen by its members as long as they are that, and by nobody else', async () => {
      const member = await addPerson(server.app, 'member');
      const stranger = await addPerson(server.app, 'stranger');
      const project = await addProject(server.app, { name: 'theirs', members: [member] });
      const theirs = await stream({ key: member.key });
      await server.createInstance('foreign');
      const spec = { projectId: project.id };
      const { metadata } = await server.createInstance('own', { spec });
      expect((await theirs.next())?.resourceId).to.equal(metadata.id);
      expect(await page('', stranger.api)).to.deep.equal([]);
      expect(await page(`?projectID=${project.id}`, stranger.api)).to.deep.equal([]);
      const seen = await page('', member.api);
      expect(new Set(seen.map(({ projectId }) => projectId))).to.deep.equal(new Set([project.id]));
      await server.settled(metadata.id);
      const found = await server.app.store.get(projects, project.id);
      if (found === undefined) throw new Error('not there');
      await server.app.store.write([replace(projects, found, { ...found.value, members: [] })]);
      await server.deleteInstance(metadata.id);
      expect(await page('', member.api)).to.deep.equal([]);
    });
  });
});
