/** docs/adding-a-route.md, followed literally: the example is built beside the program and asked over HTTP. */
import { expect } from 'chai';
import { checkedFetch } from '../support/conform.js';
import { compile, followPage, startCopy } from '../support/follow-page.js';

const key = 'adding-a-route-0123456789-0123456789';

describe('docs/adding-a-route.md', function () {
  this.timeout(60_000);

  it('works when it is followed literally', async () => {
    const folder = followPage('adding-a-route', { saved: 1, added: 1 });
    expect(compile(folder)).to.equal('');

    const { app, stop } = await startCopy(folder, key);
    try {
      const ask = async (path: string, authorization = `Bearer ${key}`) => {
        const answer = await checkedFetch(app.url + path, { headers: { authorization } });
        return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
      };
      const { body } = await ask('/api/v2/projects');
      const [project] = body as unknown as { metadata: { id: string } }[];
      const id = project?.metadata.id ?? '';
      expect(await ask(`/api/v2/projects/${id}/tally`)).to.deep.equal({
        status: 200,
        body: { projectId: id, people: 1 },
      });
      const wrong = await ask(`/api/v2/projects/${id}/tally?atmost=3`);
      expect(wrong.status).to.equal(400);
      expect(wrong.body['message']).to.contain('Did you mean "atMost"?');
      expect((await ask('/api/v2/projects/0193a5c0-0000-7000-8000-000000000001/tally')).status).to.equal(404);
      expect((await ask(`/api/v2/projects/${id}/tally`, 'Bearer nobody')).status).to.equal(401);
      const document = (await ask('/openapi.json')).body as { paths: Record<string, unknown> };
      expect(document.paths).to.have.property('/api/v2/projects/{projectID}/tally');
    } finally {
      await stop();
    }
  });
});
