/** A how-to page of docs/, followed literally in a copy of the sources. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type * as AppModule from '../../src/app.js';
import { loadConfig, packageRoot } from '../../src/config.js';
import { silentLog } from '../../src/model/log.js';
import { learnDocument } from './conform.js';
import { testAddress } from './store.js';

/** Saves the page's files, and adds its lines to existing ones; `steps` is the number of steps in the page. */
export function followPage(name: string, steps: { saved: number; added: number }): string {
  const page = readFileSync(join(packageRoot(), 'docs', `${name}.md`), 'utf8');
  const folder = join(packageRoot(), 'build', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const sources of ['src', 'test/support'])
    cpSync(join(packageRoot(), sources), join(folder, sources), { recursive: true });
  const saved = [...page.matchAll(/Save this as `([^`]+)`:\n\n```ts\n([\s\S]*?)```/g)];
  expect(saved).to.have.length(steps.saved);
  for (const [, file = '', code = ''] of saved) {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    writeFileSync(join(folder, file), code);
  }
  const added = [
    ...page.matchAll(/In `([^`]+)`, (?:import ([^\n]+),? and )?add to `(\w+)`:\n\n```ts\n([\s\S]*?)```/g),
  ];
  expect(added).to.have.length(steps.added);
  for (const [, file = '', imports = '', list = '', lines = ''] of added) {
    const before = readFileSync(join(folder, file), 'utf8');
    const opening = new RegExp(
      `((?:const ${list}(?:: [^\\n]*)? =|interface ${list}) \\{\\n|function ${list}[\\s\\S]*?return \\[\\n)`,
    );
    expect(before, file).to.match(opening);
    const imported = [...imports.matchAll(/`([^`]+)` from `([^`]+)`/g)].map(
      ([, name = '', from = '']) => `import { ${name} } from '${from}';\n`,
    );
    writeFileSync(join(folder, file), imported.join('') + before.replace(opening, `$1${lines}`));
  }
  return folder;
}

/** The compiler's errors for the copy; empty if there are none. */
export function compile(folder: string): string {
  const project = {
    extends: '../../tsconfig.json',
    compilerOptions: { rootDir: '.', outDir: 'out' },
    include: ['src', 'test/route'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
  const compiler = join(packageRoot(), 'node_modules/typescript-native/bin/tsc');
  const run = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
  return run.stdout + run.stderr;
}

/** The compiled copy as a running server with a simulated region, on the store of the tests. */
export async function startCopy(folder: string, adminKey: string, flags: Record<string, unknown> = {}) {
  const module = pathToFileURL(join(folder, 'out', 'src', 'app.js')).href;
  const { startApp } = (await import(module)) as typeof AppModule;
  const { address, clear } = await testAddress();
  const given = {
    server: { port: 0 },
    regions: ['simulated'],
    store: address,
    adminKey,
    dataDir: join(folder, 'data'),
    ...flags,
  };
  const app = await startApp(loadConfig({ environment: {}, flags: given }), { log: silentLog });
  await learnDocument(app.url);
  return { app, stop: () => app.stop().then(clear) };
}
