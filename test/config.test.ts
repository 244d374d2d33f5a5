import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import { parse } from 'yaml';
import { ConfigError, loadConfig, packageRoot, unknownVariables } from '../src/config.js';
import { ConfigSchema } from '../src/config/schema.js';

type Tree = Record<string, unknown>;

const defaults = join(packageRoot(), 'config', 'default.yaml');

/** Paths and values of all options in a tree. */
function leaves(tree: Tree, path: string[] = []): [string[], unknown][] {
  return Object.entries(tree).flatMap(([key, value]): [string[], unknown][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? leaves(value as Tree, [...path, key])
      : [[[...path, key], value]],
  );
}

function treeOf(path: readonly string[], value: unknown): Tree {
  const [first = '', ...rest] = path;
  return { [first]: rest.length === 0 ? value : treeOf(rest, value) };
}

function variable(path: readonly string[]): string {
  return `COPSE_${path.map((part) => part.replaceAll(/([A-Z])/g, '_$1').toUpperCase()).join('_')}`;
}

function text(value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  return value.every((item) => typeof item === 'string') ? value.join(', ') : JSON.stringify(value);
}

function refusal(flags: Tree, environment: NodeJS.ProcessEnv = {}, file?: string): string {
  try {
    loadConfig({ environment, flags, ...(file === undefined ? {} : { file }) });
  } catch (error) {
    expect(error).to.be.an.instanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error(`it was taken: ${JSON.stringify({ flags, environment })}`);
}

describe('the configuration', () => {
  let folder: string;

  const write = (name: string, content: string) => {
    const file = join(folder, name);
    writeFileSync(file, content);
    return file;
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'copse-config-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  describe('in config/default.yaml', () => {
    const options = leaves(parse(readFileSync(defaults, 'utf8')) as Tree);

    it('is complete and right by itself', () => {
      expect(loadConfig({ environment: {} })).to.deep.equal(parse(readFileSync(defaults, 'utf8')));
    });

    it('has a schema that is valid, which the program takes for granted', () => {
      expect(new Ajv2020({ strict: false }).validateSchema(ConfigSchema, true)).to.equal(true);
    });

    it('holds only options that must be there', () => {
      for (const [path] of options) {
        expect(refusal(treeOf(path, undefined)), path.join('.')).to.include(path.join('.'));
      }
    });

    it('explains each option by a comment above it', () => {
      const lines = readFileSync(defaults, 'utf8').split('\n');
      const unexplained = lines.filter((line, index) => {
        const isOption = /^ *[A-Za-z]+: *\S/.test(line) || /^ +[A-Za-z]+:$/.test(line);
        return isOption && !/^ *#/.test(lines[index - 1] ?? '');
      });
      expect(unexplained).to.deep.equal([]);
    });

    it('serves on the loopback address only, and makes nobody a superuser but admin', () => {
      const config = loadConfig({ environment: {} });
      expect(config.server.host).to.equal('127.0.0.1');
      expect(config.auth).to.deep.include({ superUsers: ['admin'], everyoneIsSuperUser: false });
    });

    it('has an environment variable for each option', () => {
      const environment = Object.fromEntries(options.map(([path, value]) => [variable(path), text(value)]));
      expect(loadConfig({ environment })).to.deep.equal(loadConfig({ environment: {} }));
      // Each of them is really read: a text that fits no type of option is refused or taken, never ignored.
      for (const [path, value] of options) {
        const changed = typeof value === 'string' ? `${value}x` : '?';
        const source = { environment: { [variable(path)]: changed } };
        try {
          expect(loadConfig(source), path.join('.')).not.to.deep.equal(loadConfig({ environment: {} }));
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          expect(error.message).to.include(path.join('.'));
        }
      }
    });
  });

  describe('from several sources', () => {
    it('takes the file over the defaults, the environment over the file, and flags over all', () => {
      const file = write(
        'some.yaml',
        'server:\n  port: 1001\n  host: file\n  bodyLimit: 2000\nlog: { level: warn }\n',
      );
      const environment = { COPSE_SERVER_PORT: '1002', COPSE_SERVER_HOST: 'environment' };
      const flags = { server: { port: 1003 } };
      const config = loadConfig({ file, environment, flags });
      expect(config.server).to.include({ port: 1003, host: 'environment', bodyLimit: 2000, publicUrl: '' });
      expect(config.log.level).to.equal('warn');
      expect(config.tasks).to.deep.equal(loadConfig({ environment: {} }).tasks);
    });

    it('takes a file of JSON, an empty one and one with a comment only', () => {
      expect(
        loadConfig({ environment: {}, file: write('some.json', '{"dataDir":"/var/x"}') }).dataDir,
      ).to.equal('/var/x');
      for (const content of ['', '# nothing\n']) {
        expect(loadConfig({ environment: {}, file: write('empty.yaml', content) })).to.deep.equal(
          loadConfig({ environment: {} }),
        );
      }
    });

    it('replaces a list as a whole', () => {
      const flavors = [{ name: 'only', cpus: 1, memoryMiB: 256, diskGB: 1 }];
      expect(loadConfig({ environment: {}, flags: { local: { flavors } } }).local.flavors).to.deep.equal(
        flavors,
      );
      expect(loadConfig({ environment: { COPSE_REGIONS: 'simulated' } }).regions).to.deep.equal([
        'simulated',
      ]);
      expect(loadConfig({ environment: { COPSE_REGIONS: ' simulated , local ' } }).regions).to.deep.equal([
        'simulated',
        'local',
      ]);
      expect(loadConfig({ environment: { COPSE_AUTH_SUPER_USERS: '' } }).auth.superUsers).to.deep.equal([]);
    });

    it('reads numbers and truth values of the environment as such', () => {
      const environment = {
        COPSE_TASKS_BACKOFF: '0.25',
        COPSE_AUTH_EVERYONE_IS_SUPER_USER: 'true',
        COPSE_SIMULATED_SEED: '-3',
      };
      const config = loadConfig({ environment });
      expect(config.tasks.backoff).to.equal(0.25);
      expect(config.auth.everyoneIsSuperUser).to.be.true;
      expect(config.simulated.seed).to.equal(-3);
    });

    it('leaves other variables alone', () => {
      expect(loadConfig({ environment: { PATH: '/bin', HOME: '/root' } })).to.deep.equal(
        loadConfig({ environment: {} }),
      );
    });
  });

  describe('in misspelt variables', () => {
    it('is told with the nearest name of an option; those of options and of others are left alone', () => {
      const environment = {
        COPSE_SIMULATED_FAILURERATE: '0.15',
        COPSE_TASKS_MAXATTEMPTS: '5',
        COPSE_SERVICE_HOST: '10.0.0.1',
        COPSE_STORE: 'sqlite:x',
        COPSE_ADMIN_KEY: 'secret',
        COPSE_TEST_SUMMARY: 'x',
        PATH: '/bin',
      };
      expect(unknownVariables(environment)).to.deep.equal([
        { variable: 'COPSE_SIMULATED_FAILURERATE', nearest: 'COPSE_SIMULATED_FAILURE_RATE' },
        { variable: 'COPSE_TASKS_MAXATTEMPTS', nearest: 'COPSE_TASKS_MAX_ATTEMPTS' },
        { variable: 'COPSE_SERVICE_HOST', nearest: 'COPSE_SERVER_HOST' },
      ]);
      const all = Object.fromEntries(
        leaves(parse(readFileSync(defaults, 'utf8')) as Tree).map(([path]) => [variable(path), '']),
      ) as Record<string, string>;
      expect(unknownVariables(all)).to.deep.equal([]);
    });
  });

  describe('that is wrong', () => {
    const wrong: [Tree, string, RegExp][] = [
      [{ server: { port: 70000 } }, 'server.port', /<= 65535|maximum 65535/],
      [{ server: { port: -1 } }, 'server.port', />= 0|minimum 0/],
      [{ server: { port: 80.5 } }, 'server.port', /integer/],
      [{ server: { port: '80' } }, 'server.port', /integer/],
      [{ server: { host: '' } }, 'server.host', /fewer than 1/],
      [{ server: { publicUrl: 'ftp://x' } }, 'server.publicUrl', /https\?/],
      [{ server: { publicUrl: 'http://x/?q' } }, 'server.publicUrl', /https\?/],
      [{ server: { bodyLimit: 10 } }, 'server.bodyLimit', /1024/],
      [{ server: { requestTimeout: 0 } }, 'server.requestTimeout', /> 0|exclusiveMinimum 0/],
      [{ dataDir: '' }, 'dataDir', /fewer than 1/],
      [{ store: 'mysql:x' }, 'store', /sqlite/],
      [{ auth: { superUsers: 'admin' } }, 'auth.superUsers', /array/],
      [{ auth: { superUsers: ['Not A Name'] } }, 'auth.superUsers.0', /match/],
      [{ auth: { everyoneIsSuperUser: 'yes' } }, 'auth.everyoneIsSuperUser', /boolean/],
      [
        { log: { level: 'loud' } },
        'log.level',
        /must be one of fatal, error, warn, info, debug, trace, silent/,
      ],
      [{ tasks: { concurrency: 0 } }, 'tasks.concurrency', />= 1|minimum 1/],
      [{ tasks: { grace: -1 } }, 'tasks.grace', />= 0|minimum 0/],
      [{ regions: [] }, 'regions', /fewer than 1/],
      [{ regions: ['mars=moon'] }, 'regions.0', /must match .*local|simulated/],
      [{ regions: ['local', 'local'] }, 'regions', /duplicate/],
      [{ local: { accelerator: 'xen' } }, 'local.accelerator', /must be one of auto, kvm, tcg/],
      [
        { local: { flavors: [{ name: 'x', cpus: 0, memoryMiB: 64, diskGB: 1 }] } },
        'local.flavors.0.cpus',
        />= 1|minimum 1/,
      ],
      [{ local: { flavors: [{ name: 'x' }] } }, 'local.flavors.0.cpus', /required/],
      [{ simulated: { failureRate: 2 } }, 'simulated.failureRate', /<= 1|maximum 1/],
      [{ server: null }, 'server', /object/],
      [{ prot: 1 }, 'prot', /is not an option/],
      [{ server: { prot: 1 } }, 'server.prot', /is not an option/],
      [{ __proto__: null, constructor: 1 }, 'constructor', /is not an option/],
    ];
    for (const [tree, key, accepted] of wrong) {
      it(`is refused with the key and what it accepts: ${JSON.stringify(tree)}`, () => {
        const line = refusal(tree)
          .split('\n')
          .find((one) => one.startsWith(`${key} `));
        expect(line, refusal(tree)).to.match(accepted);
      });
    }

    it('in the environment is refused in the same words', () => {
      const cases: [NodeJS.ProcessEnv, string, RegExp][] = [
        [{ COPSE_SERVER_PORT: 'eighty' }, 'server.port', /integer.*eighty/],
        [{ COPSE_SERVER_PORT: '' }, 'server.port', /integer/],
        [{ COPSE_SERVER_PORT: '0x50' }, 'server.port', /integer/],
        [{ COPSE_SERVER_PORT: '1e3' }, 'server.port', /integer/],
        [{ COPSE_AUTH_EVERYONE_IS_SUPER_USER: 'TRUE' }, 'auth.everyoneIsSuperUser', /boolean/],
        [{ COPSE_REGIONS: 'local,mars=moon' }, 'regions.1', /must match/],
        [{ COPSE_REGIONS: '[local' }, 'regions', /./],
        [{ COPSE_LOCAL_FLAVORS: '[{"name":' }, 'local.flavors', /./],
      ];
      for (const [environment, key, accepted] of cases) {
        const message = refusal({}, environment);
        expect(message, JSON.stringify(environment)).to.include(key).and.to.match(accepted);
      }
    });

    it('in several places is refused for all of them at once', () => {
      const message = refusal({ server: { port: -1, unknown: 1 }, log: { level: 'x' } });
      for (const key of ['server.port', 'server.unknown', 'log.level']) expect(message).to.include(key);
    });

    it('never shows a key that it refuses', () => {
      expect(refusal({ adminKey: 'short-secret' }))
        .to.include('adminKey')
        .and.not.to.include('short-secret');
      expect(refusal({}, { COPSE_ADMIN_KEY: 'short secret' }))
        .to.include('adminKey')
        .and.not.to.include('short secret');
    });

    it('never shows an address of a store, with its password, whatever is wrong with it', () => {
      const wrong = [
        ...[
          'mongo://root:hunter2@db/x',
          'MONGODB://root:hunter2@db/x',
          ' mongodb://root:hunter2@db/x',
          'hunter2',
        ],
        ...[
          'mongodb:/root:hunter2@db',
          'postgres://db/?password=hunter2',
          'mongodb;//root:hunter2',
          'sqlite/hunter2',
        ],
      ];
      for (const store of wrong) {
        const message = refusal({ store });
        expect(message, store).to.match(/^store must match /);
        for (const part of ['hunter2', 'root', 'db/', '(is']) expect(message, store).not.to.include(part);
        expect(refusal({}, { COPSE_STORE: store })).to.equal(message);
      }
      for (const store of [{ url: 'hunter2' }, ['hunter2'], 2 ** 40, null]) {
        expect(refusal({ store })).to.match(/^store must be string$/);
      }
    });

    it('never shows a password or a token that stands in another option, nor a name that may be one', () => {
      const cases: [Tree, string][] = [
        [{ server: { publicUrl: 'https://root:hunter2@e.com/' } }, '***@e.com'],
        [{ server: { publicUrl: 'https:/ro/ot:hunter2@e.com/' } }, '***@e.com'],
        [{ server: { publicUrl: 'https://e.com/?key=hunter2' } }, '?***'],
        [{ tracing: { endpoint: 'https://root:hunter2@e.com/v1/traces' } }, '***@e.com'],
        [{ worker: { address: 'http://root:hunter2@rack1' } }, '***@rack1'],
        [{ log: { level: 'mongodb://root:hunter2@db' } }, '***@db'],
        [{ server: 'mongodb://root:hunter2@db' }, '***@db'],
        [{ dataDir: { url: 'mongodb://root:hunter2@db' } }, 'dataDir must be string'],
        [{ server: { adminKey: 'hunter2' } }, 'server.adminKey is not an option; did you mean adminKey?'],
        [{ adminkey: 'hunter2' }, 'adminkey is not an option; did you mean adminKey?'],
        [{ 'mongodb://root:hunter2@db': 1 }, '… is not an option'],
      ];
      for (const [tree, shown] of cases) {
        expect(refusal(tree), JSON.stringify(tree))
          .to.include(shown)
          .and.not.to.match(/hunter2|root/);
      }
    });

    it('in a file that cannot be read is told by its place, not by its words', () => {
      const contents = [
        'store: mongodb://root:hunter2@db\n  adminKey: hunter2\n',
        'adminKey: hunter2\nadminKey: hunter2\n',
        '{ "adminKey": "hunter2", ',
        'adminKey: "hunter2',
        'adminKey: !vault hunter2\n',
        'adminKey: *hunter2\n',
        'store: "\\hunter2"\n',
        '\tadminKey: hunter2\n',
      ];
      for (const content of contents) {
        const message = refusal({}, {}, write('secret.yaml', content));
        expect(message, content)
          .to.include('secret.yaml: is neither YAML nor JSON: ')
          .and.not.to.include('hunter2');
        expect(message, content).to.match(/line \d+, column \d+$|alias/);
      }
    });

    it('as an unknown option names the one that comes nearest', () => {
      const cases: [Tree, string][] = [
        [{ server: { prot: 1 } }, 'server.prot is not an option; did you mean server.port?'],
        [{ port: 1 }, 'port is not an option; did you mean server.port?'],
        [
          { tasks: { maxattempts: 1 } },
          'tasks.maxattempts is not an option; did you mean tasks.maxAttempts?',
        ],
        [{ datadir: 'x' }, 'datadir is not an option; did you mean dataDir?'],
      ];
      for (const [tree, message] of cases) expect(refusal(tree)).to.equal(message);
      expect(refusal(JSON.parse('{"__proto__":{"port":1}}') as Tree)).to.match(/^__proto__ is not an option/);
    });

    it('as a file is refused by the name of the file', () => {
      const files: [string, RegExp][] = [
        [join(folder, 'absent.yaml'), /cannot be read/],
        [folder, /cannot be read/],
        [write('broken.yaml', 'server: {'), /neither YAML nor JSON/],
        [write('list.yaml', '- a\n- b\n'), /must contain a map/],
        [write('text.yaml', 'hello'), /must contain a map/],
        [write('twice.yaml', 'dataDir: a\ndataDir: b\n'), /neither YAML nor JSON/],
      ];
      for (const [file, reason] of files) {
        const message = refusal({}, {}, file);
        expect(message).to.include(file).and.to.match(reason);
      }
    });
  });
});
