import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Instance } from '../../../src/model/instance.js';
import type { Project } from '../../../src/model/project.js';
import { parsePaginationHeader } from '../../../src/route/pipeline/pagination.js';
import type { Reply } from '../../support/conform.js';
import { addProject } from '../../support/people.js';
import { startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';

function links(reply: Reply) {
  return parsePaginationHeader(reply.headers.get('link') ?? undefined);
}

function names(reply: Reply<Instance[]>): string[] {
  return reply.body.map((instance) => instance.metadata.name);
}

describe('a list in pages', () => {
  let server: TestServer;

  const get = (address: string) => server.admin.get<Instance[]>(address);
  const follow = async (start: string, relation: 'next' | 'prev') => {
    const replies = [await get(start)];
    for (let link = links(replies[0] as Reply)[relation]; link !== undefined;) {
      const reply = await get(link.url);
      replies.push(reply);
      link = links(reply)[relation];
    }
    return replies;
  };

  before(async () => {
    server = await startServer();
    for (let index = 0; index < 11; index += 1) {
      const tags = [{ name: 'half', value: index % 2 === 0 ? 'even' : 'odd' }];
      await server.running(`n-${String(index).padStart(2, '0')}`, { metadata: { tags } });
    }
  });
  after(() => server.stop());

  it('gives absolute links in one header, comma-joined as RFC 8288 has it', async () => {
    const { headers } = await get(`${path}?limit=4`);
    const key = '[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]{22}';
    const next = `<${server.url}${path}\\?key=${key}&limit=4>; rel="next"`;
    expect(headers.get('link')).to.match(
      new RegExp(`^${next}, <${server.url}${path}\\?limit=4>; rel="first"$`),
    );
  });

  it('names first always, next and prev where there is such a page', async () => {
    const pages = await follow(`${path}?limit=4`, 'next');
    expect(pages.map((page) => Object.keys(links(page)).sort())).to.deep.equal([
      ['first', 'next'],
      ['first', 'next', 'prev'],
      ['first', 'prev'],
    ]);
    expect(links(await get(path))).to.have.all.keys('first');
    expect(links(pages[1] as Reply).first).to.deep.equal({
      url: `${server.url}${path}?limit=4`,
      key: undefined,
      limit: 4,
    });
  });

  it('shows every item once and in order on the way there, and the same pages on the way back', async () => {
    const there = await follow(`${path}?limit=3`, 'next');
    expect(there.map((page) => page.body.length)).to.deep.equal([3, 3, 3, 2]);
    expect(there.flatMap(names)).to.deep.equal(
      Array.from({ length: 11 }, (_, index) => `n-${String(index).padStart(2, '0')}`),
    );
    const last = links(there.at(-2) as Reply).next?.url ?? '';
    const back = await follow(last, 'prev');
    expect(back.reverse().map(names)).to.deep.equal(there.map(names));
  });

  it('has 100 items on a page unless told otherwise', async () => {
    expect(links(await get(path)).first?.limit).to.equal(100);
  });

  it('keeps the filters, also repeated ones, in every link', async () => {
    const { regionId, projectId } = server.catalog;
    const query = new URLSearchParams([
      ['tag', 'half=even'],
      ['regionID', regionId],
      ['regionID', '0193a5c0-0000-7000-8000-000000000001'],
      ['projectID', projectId],
    ]);
    const pages = await follow(`${path}?limit=2&${query.toString()}`, 'next');
    expect(pages.flatMap(names)).to.deep.equal(['n-00', 'n-02', 'n-04', 'n-06', 'n-08', 'n-10']);
    for (const page of pages) {
      for (const link of Object.values(links(page))) {
        const kept = new URL(link.url).searchParams;
        expect(kept.getAll('regionID')).to.deep.equal(query.getAll('regionID'));
        expect(kept.get('tag')).to.equal('half=even');
        expect(kept.get('projectID')).to.equal(projectId);
        expect(kept.get('limit')).to.equal('2');
      }
    }
  });

  it('lets the size of the page change on the way', async () => {
    const first = await get(`${path}?limit=2`);
    const key = links(first).next?.key ?? '';
    const rest = await get(`${path}?key=${key}&limit=1000`);
    expect([...names(first), ...names(rest)]).to.have.length(11);
    expect(new Set([...names(first), ...names(rest)]).size).to.equal(11);
  });

  it('takes the parameters in any order', async () => {
    const first = await get(`${path}?tag=half%3Dodd&projectID=${server.catalog.projectId}&limit=2`);
    const key = links(first).next?.key ?? '';
    const second = await get(`${path}?limit=2&key=${key}&projectID=${server.catalog.projectId}&tag=half=odd`);
    expect(names(second)).to.deep.equal(['n-05', 'n-07']);
  });

  it('refuses a key of other filters, of another list or damaged, and says to begin again', async () => {
    const key = links(await get(`${path}?limit=2&tag=half=odd`)).next?.key ?? '';
    const wrong = [
      `${path}?limit=2&tag=half=even&key=${key}`,
      `${path}?limit=2&key=${key}`,
      `${path}?tag=half=odd&tag=x=y&key=${key}`,
      `/api/v2/tasks?key=${key}`,
      `/api/v2/projects?key=${key}`,
      `${path}?tag=half=odd&key=${key.slice(1)}`,
      `${path}?tag=half=odd&key=${key}A`,
      `${path}?tag=half=odd&key=${key.split('.')[0] ?? ''}`,
      `${path}?tag=half=odd&key=1`,
      `${path}?tag=half=odd&key=../../etc/passwd`,
      `${path}?tag=half=odd&key=%00`,
    ];
    for (const address of wrong) {
      const reply = await server.admin.refused('invalid_cursor', 'GET', address);
      expect(reply.body.errors?.[0]).to.deep.equal({
        parameter: 'key',
        message: 'Start again without a cursor, or follow the links in the responses.',
      });
    }
    await server.admin.refused('invalid_parameter', 'GET', `${path}?key=`);
    await server.admin.refused('invalid_parameter', 'GET', `${path}?key=${key}&key=${key}`);
    await server.admin.refused('invalid_parameter', 'GET', `${path}?key=${'A'.repeat(2001)}`);
  });

  it('refuses a key of another list with the very same filters', async () => {
    await addProject(server.app, { name: 'another' });
    const { projectId } = server.catalog;
    const lists = ['/api/v2/instances', '/api/v2/tasks', '/api/v2/projects', '/api/v2/networks'];
    const cases = [
      ...lists
        .slice(0, 2)
        .flatMap((one) => lists.slice(0, 2).map((other) => [one, other, `&projectID=${projectId}`])),
      ...lists.flatMap((one) => lists.map((other) => [one, other, ''])),
    ];
    for (const [one = '', other = '', filter = ''] of cases) {
      const key = links(await get(`${one}?limit=1${filter}`)).next?.key ?? '';
      expect(key, one).not.to.equal('');
      const address = `${other}?limit=1${filter}&key=${key}`;
      if (one === other) await get(address);
      else await server.admin.refused('invalid_cursor', 'GET', address);
    }
  });

  it('refuses a key of another order, and that of one direction for the other', async () => {
    const key = links(await get(`${path}?limit=2&sort=name`)).next?.key ?? '';
    for (const order of ['', '&sort=id', '&sort=name&descending=true'])
      await server.admin.refused('invalid_cursor', 'GET', `${path}?limit=2&key=${key}${order}`);
    expect(names(await get(`${path}?limit=2&sort=name&key=${key}`))).to.deep.equal(['n-02', 'n-03']);
  });

  it('goes on from a key whose row was deleted meanwhile', async () => {
    const doomed = await server.running('z-doomed');
    await server.running('z-next');
    const first = await get(`${path}?limit=12`);
    expect(names(first).at(-1)).to.equal('z-doomed');
    await server.deleteInstance(doomed.metadata.id);
    const second = await get(links(first).next?.url ?? '');
    expect(names(second)).to.deep.equal(['z-next']);
    const back = await get(links(second).prev?.url ?? '');
    expect(names(back).at(-1)).to.equal('n-10');
  });

  it('pages tasks, projects and networks alike', async () => {
    for (let index = 0; index < 3; index += 1) await addProject(server.app, { name: `p-${index}` });
    for (const list of ['/api/v2/tasks', '/api/v2/projects', '/api/v2/networks']) {
      const all = await server.admin.get<unknown[]>(`${list}?limit=1000`);
      const walked = await follow(`${list}?limit=2`, 'next');
      expect(
        walked.flatMap((page) => page.body as unknown[]),
        list,
      ).to.deep.equal(all.body);
      expect(walked.length).to.equal(Math.ceil(all.body.length / 2));
    }
  });
});

describe('the links of a list', () => {
  it('are built from the configured public URL', async () => {
    const server = await startServer({ flags: { server: { publicUrl: 'https://cloud.example/copse/' } } });
    try {
      const reply = await server.admin.get('/api/v2/projects?limit=5');
      expect(reply.headers.get('link')).to.equal(
        '<https://cloud.example/copse/api/v2/projects?limit=5>; rel="first"',
      );
      const created = await server.admin.post('/api/v2/instances', server.instanceBody('far'));
      expect(created.headers.get('location')).to.match(
        /^https:\/\/cloud\.example\/copse\/api\/v2\/instances\/[0-9a-f-]{36}$/,
      );
    } finally {
      await server.stop();
    }
  });

  it('hold after a restart of the server', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'copse-test-'));
    const flags = { store: 'sqlite:copse.sqlite' };
    try {
      const first = await startServer({ dataDir, flags });
      await addProject(first.app, { name: 'other' });
      const reply = await first.admin.get<Project[]>('/api/v2/projects?limit=1');
      await first.stop();
      const second = await startServer({ dataDir, flags });
      const key = links(reply).next?.key ?? '';
      const next = await second.admin.get<Project[]>(`/api/v2/projects?limit=1&key=${key}`);
      expect(next.body.map((project) => project.metadata.name)).to.deep.equal(['other']);
      await second.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});

describe('parsePaginationHeader', () => {
  it('reads the pages that a header names', () => {
    const header = '<http://h/p?key=abc.def&limit=5>; rel="next", <http://h/p?limit=7>; rel="first"';
    expect(parsePaginationHeader(header)).to.deep.equal({
      next: { url: 'http://h/p?key=abc.def&limit=5', key: 'abc.def', limit: 5 },
      first: { url: 'http://h/p?limit=7', key: undefined, limit: 7 },
    });
  });

  it('takes other names for the parameters', () => {
    const header = '<http://h/p?from=abc&count=5>; rel="prev"';
    expect(parsePaginationHeader(header, 'from', 'count').prev).to.deep.equal({
      url: 'http://h/p?from=abc&count=5',
      key: 'abc',
      limit: 5,
    });
  });

  it('leaves out unknown relations and a limit that is no number, and finds nothing in nonsense', () => {
    const header = '<http://h/?key=a>; rel="last", <http://h/?key=a&limit=x>; rel="next"';
    expect(parsePaginationHeader(header)).to.deep.equal({
      next: { url: 'http://h/?key=a&limit=x', key: 'a', limit: undefined },
    });
    for (const header of [
      undefined,
      '',
      'nonsense',
      '<>',
      '<http://h/>',
      ';',
      ',,,',
      '<http://h/>; rel=',
      'rel="next"',
    ]) {
      expect(parsePaginationHeader(header), header).to.deep.equal({});
    }
  });

  it('skips a target that is no URL, and next and prev without a key, and reads the others', () => {
    const first = '<http://h/?limit=7>; rel="first"';
    const read = { first: { url: 'http://h/?limit=7', key: undefined, limit: 7 } };
    for (const target of ['http://[/?key=a', 'http://h:99999/?key=a', 'http://h/?limit=5', 'http://h/', '/x'])
      for (const relation of ['next', 'prev']) {
        const header = `<${target}>; rel="${relation}", ${first}`;
        expect(parsePaginationHeader(header), header).to.deep.equal(read);
      }
  });

  it('reads a relative target', () => {
    const next = { url: '/x?key=a', key: 'a', limit: undefined };
    expect(parsePaginationHeader('</x?key=a>; rel=next')).to.deep.equal({ next });
  });

  it('reads a header of any length that a server sends', () => {
    const filters = Array.from(
      { length: 60 },
      (_, index) => `projectID=0193a5c0-0000-7000-8000-0000000000${index + 10}`,
    ).join('&');
    const header = `<http://h/p?key=abc&${filters}>; rel="next", <http://h/p?${filters}>; rel="first"`;
    expect(parsePaginationHeader(header).next?.key).to.equal('abc');
  });
});
