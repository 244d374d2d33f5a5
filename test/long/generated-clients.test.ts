/**
 * The OpenAPI document generates clients that work: each does the main job. The generators are kept in .cache; without
 * Python, Go or a way to get them, a suite says so and is skipped.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { packageRoot } from '../../src/config.js';
import { adminKey, cleanUp, type ServerProcess, startServer, temporaryFolder } from '../support/process.js';

const execute = promisify(execFile);
const cache = join(packageRoot(), '.cache', 'generators');
const fixtures = join(packageRoot(), 'test', 'fixtures', 'clients');

/**
 * The document without other media types where there is JSON: both generators make code from the others that sends the
 * wrong one, or does not compile.
 */
function jsonOnly(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(jsonOnly);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).map(([name, below]): [string, unknown] => {
    const json: unknown =
      name === 'content' ? (below as Record<string, unknown>)['application/json'] : undefined;
    return [name, jsonOnly(json === undefined ? below : { 'application/json': json })];
  });
  return Object.fromEntries(kept);
}

describe('clients generated from the OpenAPI document', function () {
  this.timeout(600_000);
  let folder: string;
  let server: ServerProcess;

  before(async () => {
    folder = temporaryFolder();
    mkdirSync(cache, { recursive: true });
    server = await startServer({ dataDir: join(folder, 'data'), args: ['--region', 'simulated'] });
    const { body } = await server.client.get('/openapi.json');
    writeFileSync(join(folder, 'openapi.json'), JSON.stringify(jsonOnly(body)));
  });
  after(async () => {
    await server.kill('SIGTERM');
    await cleanUp(folder);
  });

  const run = async (program: string, args: string[], cwd: string, environment: NodeJS.ProcessEnv = {}) => {
    const env = { ...process.env, COPSE_URL: server.url, COPSE_API_KEY: adminKey, ...environment };
    return (await execute(program, args, { cwd, env, timeout: 400_000, maxBuffer: 2 ** 26 })).stdout;
  };

  /** Why the suite is skipped, said aloud; undefined if the generator is there. */
  const missing = async (what: string, prepare: () => Promise<unknown>): Promise<boolean> => {
    try {
      await prepare();
      return false;
    } catch (error) {
      process.stderr.write(
        `\nSKIPPED: ${what} is not available: ${(error as Error).message.split('\n')[0] ?? ''}\n`,
      );
      return true;
    }
  };

  it('work in Python (openapi-python-client)', async function () {
    const venv = join(cache, 'python');
    const generator = join(venv, 'bin', 'openapi-python-client');
    const prepare = async () => {
      if (existsSync(generator)) return;
      await run('python3', ['-m', 'venv', venv], folder);
      await run(join(venv, 'bin', 'pip'), ['install', '--quiet', 'openapi-python-client==0.29.1'], folder);
    };
    if (await missing('openapi-python-client', prepare)) this.skip();
    const output = join(folder, 'copse_client');
    await run(
      generator,
      ['generate', '--path', 'openapi.json', '--output-path', output, '--meta', 'none'],
      folder,
    );
    copyFileSync(join(fixtures, 'main_job.py'), join(folder, 'main_job.py'));
    const told = await run(join(venv, 'bin', 'python'), ['main_job.py'], folder);
    expect(told).to.equal('python Running\n404 not_found\n');
  });

  it('work in Go (oapi-codegen)', async function () {
    const places = { GOPATH: join(cache, 'go'), GOCACHE: join(cache, 'go-build'), GOFLAGS: '-modcacherw' };
    const generator = join(cache, 'go', 'bin', 'oapi-codegen');
    const version = 'github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2';
    const prepare = async () => {
      if (!existsSync(generator)) await run('go', ['install', version], folder, places);
    };
    if (await missing('oapi-codegen', prepare)) this.skip();
    const job = join(folder, 'job');
    mkdirSync(join(job, 'copse'), { recursive: true });
    writeFileSync(join(job, 'go.mod'), 'module example.com/job\n\ngo 1.22\n');
    copyFileSync(join(fixtures, 'main_job.go'), join(job, 'main.go'));
    const output = join(job, 'copse', 'copse.go');
    await run(
      generator,
      ['-generate', 'types,client', '-package', 'copse', '-o', output, join(folder, 'openapi.json')],
      job,
      places,
    );
    await run('go', ['mod', 'tidy'], job, places);
    expect(await run('go', ['run', '.'], job, places)).to.equal('go Running\n404 not_found\n');
  });
});
