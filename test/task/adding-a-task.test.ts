/** docs/adding-a-task.md, followed literally: the example is built beside the program, and its task is run over HTTP. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type * as AppModule from '../../src/app.js';
import { loadConfig, packageRoot } from '../../src/config.js';
import type { Instance } from '../../src/model/instance.js';
import { silentLog } from '../../src/model/log.js';
import type { Task } from '../../src/model/task.js';
import { checkedFetch, learnDocument } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { testAddress } from '../support/store.js';

const key = 'adding-a-task-0123456789-0123456789';

function found(page: string, pattern: RegExp): string[] {
  const match = pattern.exec(page);
  if (match === null) throw new Error(`the page says nothing like ${String(pattern)}`);
  return match.slice(1);
}

/** The program's sources with the steps of the page done. */
function follow(page: string, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(join(packageRoot(), 'src'), join(folder, 'src'), { recursive: true });
  const edit = (file: string, change: (text: string) => string) => {
    const before = readFileSync(join(folder, file), 'utf8');
    const after = change(before);
    expect(after, file).not.to.equal(before);
    writeFileSync(join(folder, file), after);
  };
  const saved = [...page.matchAll(/Save this as `([^`]+)`:\n\n```ts\n([\s\S]*?)```/g)];
  expect(saved).to.have.length(2);
  for (const [, file = '', code = ''] of saved) writeFileSync(join(folder, file), code);

  const added = [
    ...page.matchAll(
      /In `([^`]+)`, (?:import `(\w+)` from `([^`]+)` and )?add to `(\w+)`:\n\n```ts\n([\s\S]*?)```/g,
    ),
  ];
  expect(added).to.have.length(3);
  for (const [, file = '', name, from = '', list = '', lines = ''] of added) {
    const imported = name === undefined ? '' : `import { ${name} } from '${from}';\n`;
    edit(
      file,
      (text) => imported + text.replace(new RegExp(`(const ${list}(: [^\\n]*)? = \\{\\n)`), `$1${lines}`),
    );
  }

  const [table = '', routes = ''] = found(page, /In `([^`]+)`, import `(\w+)` and add `\.\.\.\w+`/);
  const file = saved.map(([, path = '']) => path).find((path) => path.startsWith(dirname(table))) ?? '';
  const module = `./${relative(dirname(table), file).replace(/\.ts$/, '.js')}`;
  edit(table, (text) =>
    `import { ${routes} } from '${module}';\n${text}`.replace(
      '...networkRoutes,',
      `...networkRoutes,\n    ...${routes},`,
    ),
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

describe('docs/adding-a-task.md', function () {
  this.timeout(60_000);
  const folder = join(packageRoot(), 'build', 'adding-a-task');

  it('works when it is followed literally', async () => {
    follow(readFileSync(join(packageRoot(), 'docs', 'adding-a-task.md'), 'utf8'), folder);
    expect(compile(folder)).to.equal('');

    const { startApp } = (await import(
      pathToFileURL(join(folder, 'out', 'app.js')).href
    )) as typeof AppModule;
    const { address, clear } = await testAddress();
    const flags = {
      server: { port: 0 },
      regions: ['simulated'],
      simulated: { delay: 1 },
      store: address,
      adminKey: key,
      dataDir: join(folder, 'data'),
    };
    const app = await startApp(loadConfig({ environment: {}, flags }), { log: silentLog });
    try {
      await learnDocument(app.url);
      const ask = async (method: string, path: string, body?: unknown) => {
        const answer = await checkedFetch(new URL(path, app.url), {
          method,
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await answer.text();
        return { answer, body: (text === '' ? undefined : JSON.parse(text)) as unknown };
      };
      const [region] = app.regions;
      if (region === undefined) throw new Error('no region');
      const listing = { organizationId: '', projectIds: [] };
      const { signal } = new AbortController();
      const flavors = await region.provider.listFlavors(listing, signal);
      const images = await region.provider.listImages(listing, signal);
      const image = images.find(({ metadata }) => metadata.name === 'sim-linux');
      const created = await ask('POST', '/api/v2/instances', {
        metadata: { name: 'refreshed' },
        spec: { regionId: region.id, flavorId: flavors[0]?.metadata.id, imageId: image?.metadata.id },
      });
      expect(created.answer.status, JSON.stringify(created.body)).to.equal(201);
      const { id } = (created.body as Instance).metadata;
      const instance = async () => (await ask('GET', `/api/v2/instances/${id}`)).body as Instance;
      await eventually(async () => (await instance()).status.powerState === 'Running');

      const { answer } = await ask('POST', `/api/v2/instances/${id}/refresh?patience=5`);
      expect(answer.status).to.equal(202);
      const task = await eventually(async () => {
        const { body } = await ask('GET', answer.headers.get('location') ?? '');
        return (body as Task).endTime === undefined ? undefined : (body as Task);
      });
      expect(task).to.include({ type: 'instance.refresh', status: 'succeeded' });
      expect(task.steps.map(({ name, outcome }) => [name, outcome])).to.deep.equal([
        ['describeServer', 'succeeded'],
      ]);
      expect((await instance()).status).to.include({ powerState: 'Running' });
      expect((await ask('POST', `/api/v2/instances/${id}/refresh?patience=0`)).answer.status).to.equal(400);
      const document = (await ask('GET', '/openapi.json')).body as { paths: object };
      expect(document.paths).to.have.property('/api/v2/instances/{instanceID}/refresh');
    } finally {
      await app.stop();
      await clear();
    }
  });
});
