#!/usr/bin/env -S node --heap-growing-percent=50
/**
 * The command line. By default, V8 lets a small heap grow to several times its live data before it collects. The option
 * above keeps the process small; it must also be given when node is started by hand (docs/operations.md).
 */
import { Command, CommanderError } from 'commander';
import { addClientCommands, endWithReader, exitCodes, report } from './cli/index.js';
import type { SetupFlags } from './command/setup.js';
import type { StoreFlags } from './command/store-flags.js';
import type { ResetKeyFlags } from './command/user-reset-key.js';
import { ignoreUserSignals, ProcessLifetime, surviveStandardError } from './http/shutdown.js';
import { packageVersion } from './platform/package.js';

interface ServeFlags {
  config?: string;
  host?: string;
  port?: string;
  dataDir?: string;
  region?: string[];
  worker?: boolean;
}

interface WorkerFlags extends ServeFlags {
  address?: string;
}

interface DemoFlags {
  url: string;
  keyFile: string;
  name: string;
  stop: boolean;
}

type Tree = Record<string, unknown>;

/** Only the flags that were given: an absent one must not override the configuration. */
function given(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([, value]) => value !== undefined));
}

function addressOf({ host, port }: ServeFlags): Tree {
  return given({ host, port: port !== undefined && /^\d+$/.test(port) ? Number(port) : port });
}

function commonTree({ dataDir, region }: ServeFlags): Tree {
  return given({ dataDir, regions: region });
}

async function serve(flags: ServeFlags): Promise<void> {
  const server = addressOf(flags);
  await run(flags.worker === false ? 'api' : 'all', flags.config, { ...commonTree(flags), server });
}

async function work(flags: WorkerFlags): Promise<void> {
  const worker = { ...addressOf(flags), ...given({ address: flags.address }) };
  await run('worker', flags.config, { ...commonTree(flags), worker });
}

/** Milliseconds that the shutdown may take beyond the configured times. */
const endSlack = 20_000;

/** Runs until a signal or an uncaught exception ends it. */
async function run(role: 'all' | 'api' | 'worker', file: string | undefined, flags: Tree): Promise<void> {
  // Loaded only now, so that --help, invalid options and the commands of clients respond at once.
  const { loadConfig, unknownVariables } = await import('./config.js');
  const config = loadConfig({ ...(file === undefined ? {} : { file }), flags });
  const [{ startApp }, { createLogger }] = await Promise.all([
    import('./app.js'),
    import('./telemetry/logger.js'),
  ]);
  const log = createLogger(config.log.level);
  const lifetime = new ProcessLifetime(log);
  for (const { variable, nearest } of unknownVariables())
    log.warn({ variable, nearest }, 'the variable matches no option and is ignored');
  const counts = { lostLines: () => log.lost(), strayFailures: () => lifetime.stray() };
  const app = await startApp(config, { log, role, onNewKey: showKey, onSetupToken: showSetupToken, counts });
  const regions = app.regions.map(({ name }) => name);
  log.info({ url: app.url, version: packageVersion(), role, regions, pid: process.pid }, 'listening');
  process.exitCode = await lifetime.ended();
  const { server, tasks } = config;
  await lifetime.stop(
    () => app.stop(),
    (server.drainDelay + server.drainLimit + tasks.grace) * 1000 + endSlack,
  );
}

function showKey(key: string, user: string, file: string): void {
  process.stderr.write(
    `\nFirst run: the superuser is "${user}", its API key (shown only this once, also in ${file}):\n\n  ${key}\n\n`,
  );
}

function showSetupToken(token: string): void {
  process.stderr.write(
    `\nNobody exists yet. POST /api/v2/setup creates the first superuser with this token as "Authorization: Bearer":\n\n  ${token}\n\n`,
  );
}

// Store addresses contain passwords, and command lines can be read by everyone on the machine.
if (process.argv.some((word) => /^mongodb(\+srv)?:/.test(word))) process.title = 'copse';
ignoreUserSignals();
surviveStandardError();

const program = new Command('copse')
  .description('A compute API for machines that people own.')
  .version(packageVersion())
  .showHelpAfterError('(--help shows what is accepted)')
  .exitOverride();
addClientCommands(program, packageVersion());

/** A noun that the commands of clients have too, for its verbs on the machine of the server. */
function nounOf(name: string): Command {
  return program.commands.find((command) => command.name() === name) ?? program.command(name);
}

program
  .command('serve')
  .description('serve the API and run its tasks')
  .option('--config <file>', 'YAML or JSON file that overrides config/default.yaml')
  .option('--host <address>', 'address to listen on')
  .option('--port <number>', 'port to listen on; 0 picks a free one')
  .option('--data-dir <folder>', 'folder for everything that must survive')
  .option(
    '--region <name...>',
    'regions to drive: local, simulated, NAME=TYPE, or a NAME that the store knows',
  )
  .option('--no-worker', 'serve the API only; workers on the same store drive the regions')
  .action(serve);

program
  .command('worker')
  .description('drive regions and run their tasks, for API processes on the same store')
  .option('--config <file>', 'YAML or JSON file that overrides config/default.yaml')
  .option('--host <address>', 'address to listen on for API processes')
  .option('--port <number>', 'port to listen on; 0 picks a free one')
  .option('--address <url>', 'URL under which API processes reach this worker')
  .option('--data-dir <folder>', 'folder for everything that must survive')
  .option(
    '--region <name...>',
    'regions to drive: local, simulated, NAME=TYPE, or a NAME that the store knows',
  )
  .action(work);

program
  .command('demo')
  .description('demonstrate the main features on a running server, showing each call as a curl command')
  .option('--url <url>', 'address of the server', 'http://127.0.0.1:8080')
  .option('--key-file <file>', 'file with the API key', 'data/admin.key')
  .option('--name <name>', 'name of the instance to create', 'hello')
  .option('--no-stop', 'leave the instance running at the end')
  .action(async (flags: DemoFlags) => {
    const { demo } = await import('./client/demo.js');
    await demo(flags);
  });

const ofStore = (command: Command) =>
  command
    .option('--config <file>', 'YAML or JSON file that overrides config/default.yaml')
    .option('--data-dir <folder>', 'folder for everything that must survive');

ofStore(program.command('backup'))
  .description('copy the SQLite store into a file, even while a server is running')
  .argument('<file>', 'the file to write; it must not exist yet')
  .action(async (file: string, flags: StoreFlags) => {
    const { backup } = await import('./command/backup.js');
    await backup(file, flags);
  });

ofStore(program.command('restore'))
  .description('replace the SQLite store with a backup; no server may be running')
  .argument('<file>', 'the backup file')
  .option('--force', 'replace an existing store, which is renamed and not deleted')
  .action(async (file: string, flags: StoreFlags & { force?: boolean }) => {
    const { restore } = await import('./command/restore.js');
    restore(file, flags);
  });

ofStore(nounOf('region').command('rebind'))
  .description('let a region be driven with a different data folder; no process may be driving it')
  .argument('<name>', 'name of the region')
  .action(async (name: string, flags: StoreFlags) => {
    const { rebindRegion } = await import('./command/region-rebind.js');
    await rebindRegion(name, flags);
  });

ofStore(program.command('setup'))
  .description('create the first superuser, without a server; refuses once anybody exists')
  .requiredOption('--user <name>', 'name of the superuser')
  .option('--organization <name>', 'name of the first organization', 'default')
  .option('--project <name>', 'name of its first project', 'default')
  .option('--key-file <file>', 'new file for the API key; without it, the key goes to standard output')
  .action(async (flags: SetupFlags) => {
    const { setUpSite } = await import('./command/setup.js');
    await setUpSite(flags);
  });

ofStore(nounOf('user').command('reset-key'))
  .description('give a user a new API key, even while servers are running')
  .argument('<name>', 'name of the user')
  .option('--key-file <file>', 'new file for the API key; without it, the key goes to standard output')
  .option('--revoke', 'revoke all other keys of the user')
  .option('--activate', 'make the user active if they are not')
  .action(async (name: string, flags: ResetKeyFlags) => {
    const { resetUserKey } = await import('./command/user-reset-key.js');
    await resetUserKey(name, flags);
  });

ofStore(program.command('audit').description('check the audit trail').command('verify'))
  .description('find any audit record that was changed or removed; exits with 1 if there is one')
  .action(async (flags: StoreFlags) => {
    const { verifyTrail } = await import('./command/audit-verify.js');
    if (!(await verifyTrail(flags))) process.exitCode = 1;
  });

const store = program.command('store').description('manage stores');

ofStore(store.command('compact'))
  .description('release unused space of the SQLite store')
  .action(async (flags: StoreFlags) => {
    const { compactStore } = await import('./command/store-compact.js');
    await compactStore(flags);
  });

ofStore(store.command('copy'))
  .description(
    'copy a store into an empty one, of any engine, and compare them; resumes after an interruption',
  )
  .argument('<from>', 'address of the store, as in COPSE_STORE')
  .argument('<to>', 'address of the empty store')
  .action(async (from: string, to: string, flags: StoreFlags) => {
    const { copy } = await import('./command/store-copy.js');
    await copy(from, to, flags);
  });

endWithReader();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  else if (error instanceof Error && error.name === 'ConfigError') {
    process.stderr.write(`copse: invalid configuration:\n${error.message}\n`);
    process.exitCode = exitCodes.failure;
  } else report(error);
}
