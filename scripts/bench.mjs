// npm run bench -- NAME [options]: sets the machine up like the tests, compiles, and runs bench/NAME.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildImage, buildProgram, buildTests } from './setup/build.mjs';
import { ensureDocumentDb } from './setup/documentdb.mjs';
import { checkNode, ensureNpmPackages, ensureSystemPackages } from './setup/machine.mjs';
import { ensureSecantusDb } from './setup/secantusdb.mjs';
import { say, StepFailed } from './setup/steps.mjs';

const root = join(import.meta.dirname, '..');
const [name, ...rest] = process.argv.slice(2);
/** Servers of the tests, by the name that --store can have. */
const servers = { documentdb: ensureDocumentDb, secantusdb: ensureSecantusDb };
const store = rest.join('=').match(/(?:^|=)--store=([^=]+)/)?.[1];
const known = readdirSync(join(root, 'bench'))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -'.ts'.length));

if (name === undefined || !existsSync(join(root, 'bench', `${name}.ts`))) {
  say(`npm run bench -- NAME [options], where NAME is one of: ${known.join(', ')}`);
  process.exit(name === undefined || name === '--help' ? 0 : 1);
}
try {
  checkNode();
  await ensureSystemPackages();
  await ensureNpmPackages();
  await buildImage(join(root, '.cache', 'images'));
  await servers[store]?.();
  await buildProgram();
  await buildTests();
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  say(`\n${error.message}`);
  process.exit(1);
}
const child = spawn(process.execPath, [join(root, 'build', 'bench', `${name}.js`), ...rest], {
  cwd: root,
  stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.once('exit', (code) => {
  process.exitCode = code ?? 1;
});
