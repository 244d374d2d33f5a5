import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect } from 'chai';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { Instance } from '../../src/model/instance.js';
import { checkedFetch } from '../support/conform.js';
import { addPerson } from '../support/people.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

const browserHeader = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8';

describe('A page', () => {
  let server: TestServer;
  let instance: Instance;
  const evil = `</dd><script>alert(1)</script><img src=x onerror="alert('x')">`;

  before(async () => {
    server = await startServer();
    instance = await server.running('shown', {
      metadata: { description: evil, tags: [{ name: 'env', value: '"><b>' }] },
    });
  });
  after(() => server.stop());

  async function open(path: string, headers: Record<string, string> = {}) {
    const response = await checkedFetch(server.url + path, {
      headers: { Authorization: `Bearer ${adminKey}`, Accept: browserHeader, ...headers },
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  it('shows any address to a browser: a resource, a list, the service', async () => {
    const { id, projectId } = instance.metadata;
    for (const path of [
      `/api/v2/instances/${id}`,
      '/api/v2/instances',
      '/api/v2/tasks',
      `/api/v2/projects/${projectId}`,
      '/api/v2/admin/settings',
      '/api/v2/users',
      '/health',
    ]) {
      const page = await open(path);
      expect([page.status, page.headers.get('content-type')], path).to.deep.equal([
        200,
        'text/html; charset=utf-8',
      ]);
      expect(page.headers.get('content-security-policy')).to.include("default-src 'none'");
      expect(page.headers.get('cache-control')).to.match(/no-store/);
      expect(page.headers.get('etag')).to.equal(null);
      expect(page.text).to.match(/<h1>[^<]+<\/h1>/);
      expect(page.text).not.to.match(/<script(?! src="\/page\/script.js")|<style|\son\w+="|style="/);
    }
  });

  it('shows the entity tag, the task, links to what ids name, and a form for each change', async () => {
    const { id, projectId } = instance.metadata;
    const { text } = await open(`/api/v2/instances/${id}`);
    const { headers } = await server.admin.get(`/api/v2/instances/${id}`);
    expect(text).to.include(`<code>${(headers.get('etag') ?? '').replaceAll('"', '&#34;')}</code>`);
    expect(text).to.include(`href="/api/v2/projects/${projectId}"`);
    for (const method of ['PUT', 'PATCH', 'DELETE'])
      expect(text).to.include(`data-method="${method}" data-action="/api/v2/instances/${id}"`);
    expect(text).to.include(`data-action="/api/v2/instances/${id}/stop"`);
    expect(text).to.match(/name="metadata\[name\]"[^>]* value="shown"/);
  });

  it('escapes whatever the resource says', async () => {
    for (const path of [`/api/v2/instances/${instance.metadata.id}`, '/api/v2/instances']) {
      const { text } = await open(path);
      expect(text).to.include('&lt;script&gt;');
      expect(text).not.to.match(/<script>|<img|<b>/);
    }
    const { text } = await open(`/nothing/${encodeURIComponent(evil)}?x=${encodeURIComponent(evil)}`);
    expect(text).not.to.match(/<script>|<img|<b>/);
  });

  it('of a list leads to its items, and to the next and the previous page', async () => {
    await server.createInstance('shown-too');
    const { text } = await open('/api/v2/instances?limit=1');
    expect(text).to.match(/href="\/api\/v2\/instances\/[0-9a-f-]{36}">/);
    const [, next = ''] = /rel="next" href="([^"]+)"/.exec(text) ?? [];
    const second = await open(next.replaceAll('&amp;', '&'));
    expect(second.status).to.equal(200);
    expect(second.text).to.include('rel="prev"');
    expect(text).to.include('<form method="get" action="/api/v2/instances"');
  });

  it('shows an error, and to a stranger how to sign in', async () => {
    const wrong = await open('/api/v2/instances?limt=1');
    expect([wrong.status, wrong.headers.get('content-type')]).to.deep.equal([
      400,
      'text/html; charset=utf-8',
    ]);
    expect(wrong.text).to.include('role="alert"').and.to.include('<code>limt</code>');
    const stranger = await checkedFetch(`${server.url}/api/v2/instances`, {
      headers: { Accept: browserHeader },
    });
    expect(stranger.status).to.equal(401);
    const text = await stranger.text();
    expect(text).to.include('id="sign-in"').and.not.to.include('/api/v2/tasks');
    expect((await open('/nothing')).status).to.equal(404);
  });

  it('offers only what the caller may do', async () => {
    const reader = await addPerson(server.app, 'reader');
    const members = `/api/v2/projects/${instance.metadata.projectId}/members`;
    expect((await server.admin.post(members, { userId: reader.id, role: 'reader' })).status).to.equal(201);
    const page = await open(`/api/v2/instances/${instance.metadata.id}`, {
      Authorization: `Bearer ${reader.key}`,
    });
    expect(page.status).to.equal(200);
    expect(page.text).not.to.include('data-method="DELETE"');
    expect(page.text).not.to.include('/api/v2/admin/settings');
  });

  describe('in a browser', function () {
    const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
      (one) => existsSync(one),
    );
    let browser: Browser;
    let page: Page;
    const problems: string[] = [];

    before(async function () {
      if (executable === undefined) {
        process.stderr.write('\nSKIPPED: there is no Chromium here (apt-get install chromium)\n');
        this.skip();
      }
      this.timeout(60_000);
      browser = await chromium.launch({ executablePath: executable, args: ['--no-sandbox'] });
      page = await browser.newPage();
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('console', (message) => {
        if (message.text().includes('Content Security Policy')) problems.push(message.text());
      });
      page.on('dialog', (dialog) => void dialog.accept());
    });
    after(() => (executable === undefined ? undefined : browser.close()));

    async function assertAccessible(): Promise<void> {
      const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
      // The policy of the page forbids scripts of others, but not those of the test.
      const found = await page.evaluate(
        `${source}; axe.run().then(({ violations }) => violations.map(({ id, impact, nodes }) => id + ' ' + impact + ' ' + nodes[0].html))`,
      );
      expect(found).to.deep.equal([]);
    }

    it('signs in with an API key, follows links, and changes an instance by a form', async function () {
      this.timeout(90_000);
      const at = `${server.url}/api/v2/instances`;
      expect((await page.goto(at))?.status()).to.equal(401);
      await assertAccessible();
      await page.getByLabel('API key').fill('wrong');
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByText('The credential is not valid.').waitFor();
      await page.getByLabel('API key').fill(adminKey);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('button', { name: 'Sign out' }).waitFor();
      await assertAccessible();
      await page.setViewportSize({ width: 360, height: 700 });
      expect(
        await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'),
      ).to.equal(0);
      await page.getByRole('link', { name: 'shown', exact: true }).click();
      await page.getByRole('heading', { level: 1, name: 'Shown' }).waitFor();
      await page.locator('summary', { hasText: 'PATCH' }).click();
      await assertAccessible();
      const form = page.locator('form[data-method=PATCH]');
      await form.getByLabel('metadata, description').fill('from a page');
      await form.getByRole('button').click();
      await page.locator('main dd', { hasText: 'from a page' }).first().waitFor();
      const { body } = await server.admin.get<Instance>(`/api/v2/instances/${instance.metadata.id}`);
      expect(body.metadata.description).to.equal('from a page');
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('API key').waitFor();
      expect(problems).to.deep.equal([]);
    });
  });
});
