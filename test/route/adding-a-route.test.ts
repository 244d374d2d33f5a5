/** docs/adding-a-route.md, followed literally: the example is built beside the program and asked over HTTP. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type * as AppModule from '../../src/app.js';
import { loadConfig, packageRoot } from '../../src/config.js';
import { silentLog } from '../../src/model/log.js';
import { checkedFetch, learnDocument } from '../support/conform.js';
import { testAddress } from '../support/store.js';

const key = 'adding-a-route-0123456789-0123456789';

/** The program's sources with the three steps of the page done. */
function follow(page: string, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(join(packageRoot(), 'src'), join(folder, 'src'), { recursive: true });
  const [, file = '', code = ''] = /Save this as `([^`]+)`:\n\n```ts\n([\s\S]*?)```/.exec(page) ?? [];
  writeFileSync(join(folder, file), code);
  const [, table = '', name = ''] = /In `([^`]+)`, import `(\w+)` and add `\.\.\.\w+`/.exec(page) ?? [];
  const index = readFileSync(join(folder, table), 'utf8');
  const imported = `import { ${name} } from './tally.js';\n${index}`;
  writeFileSync(
    join(folder, table),
    imported.replace('...networkRoutes,', `...networkRoutes,\n    ...${name},`),
  );
}

function compile(folder: string): string {
  const project = {
    extends: '../../tsconfig.json',
    compilerOptions: { rootDir: 'src', outDir: 'out', types: ['node'] },
    include: ['src'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
  const compiler = join(packageRoot(), 'node_modules/typescript-native/bin/tsc');
  const run = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
  return run.stdout + run.stderr;
}

describe('docs/adding-a-route.md', function () {
  this.timeout(60_000);
  const folder = join(packageRoot(), 'build', 'adding-a-route');

  it('works when it is followed literally', async () => {
    follow(readFileSync(join(packageRoot(), 'docs', 'adding-a-route.md'), 'utf8'), folder);
    expect(compile(folder)).to.equal('');

    const { startApp } = (await import(
      pathToFileURL(join(folder, 'out', 'app.js')).href
    )) as typeof AppModule;
    const { address, clear } = await testAddress();
    const flags = {
      server: { port: 0 },
      regions: ['simulated'],
      store: address,
      adminKey: key,
      dataDir: join(folder, 'data'),
    };
    const app = await startApp(loadConfig({ environment: {}, flags }), { log: silentLog });
    try {
      await learnDocument(app.url);
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
      await app.stop();
      await clear();
    }
  });
});
