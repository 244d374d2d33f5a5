// Joins the modules that the program loads into few files, in place: `node scripts/setup/bundle.mjs dist build/src`. The
// several hundred modules took two thirds of the CPU time of a command, and half of that of a server's start. Everything
// that is imported on demand stays a file of its own.
import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..', '..');

/**
 * Native, searched for by path at run time, or large and only for some. A CommonJS package that is imported on demand must be
 * here, or behind a module of ours that names what it takes: a bundle of its own would have no names.
 */
const external = ['better-sqlite3', 'mongodb', 'swagger-ui-dist', '@opentelemetry/*'];

/** CommonJS packages call `require`, which a module does not have. */
const require = `import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);`;

export async function bundle(folder) {
  const parts = join(root, folder, 'part');
  rmSync(parts, { recursive: true, force: true });
  // The same program in its modules, for tests that hook into one of them.
  if (folder !== 'dist')
    copyFileSync(join(root, folder, 'main.js'), join(root, folder, 'main-in-modules.js'));
  await build({
    entryPoints: [join(root, folder, 'main.js')],
    outdir: join(root, folder),
    allowOverwrite: true,
    chunkNames: 'part/[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: true,
    external,
    banner: { js: require },
    logLevel: 'warning',
  });
  return readdirSync(parts).length;
}

if (process.argv[1] === import.meta.filename)
  for (const folder of process.argv.slice(2)) await bundle(folder);
