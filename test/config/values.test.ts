/** What each option accepts and refuses: a table over all of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { ConfigError, loadConfig, packageRoot } from '../../src/config.js';
import { outsideOptions } from '../support/outside-options.js';

type Tree = Record<string, unknown>;

function leaves(tree: Tree, path: string[] = []): string[] {
  return Object.entries(tree).flatMap(([key, value]): string[] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? leaves(value as Tree, [...path, key])
      : [[...path, key].join('.')],
  );
}

function treeOf(key: string, value: unknown): Tree {
  return key.split('.').reduceRight<unknown>((below, part) => ({ [part]: below }), value) as Tree;
}

function at(tree: unknown, key: string): unknown {
  return key.split('.').reduce<unknown>((one, part) => (one as Tree)[part], tree);
}

/** What is said of the option, or undefined where it is taken. */
function refusal(flags: Tree): string | undefined {
  try {
    loadConfig({ environment: {}, flags });
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

/** Wrong values and values as they are read, each given and read. */
interface Row {
  wrong: unknown[];
  right: [given: unknown, read: unknown][];
}

const same = (...values: unknown[]): [unknown, unknown][] => values.map((value) => [value, value]);

const wrongNumbers = [NaN, Infinity, -Infinity, -1, '1', null, [], true];
/** A time in seconds: the longest is far below what a timer can wait for, 2^31 - 1 ms. */
const seconds: Row = {
  wrong: [...wrongNumbers, 0, 1e-9, 86_401, 2_147_484, 1e300],
  right: same(0.001, 1, 86_400),
};
const number = (least: number, most: number, wrong: unknown[] = []): Row => ({
  wrong: [...wrongNumbers.filter((one) => one !== -1 || least >= 0), most + 1, 1e300, ...wrong],
  right: same(least, most),
});
const integer = (least: number, most: number): Row => number(least, most, [least - 1, least + 0.5]);
const text: unknown[] = [1, null, true, [], {}];

const wrongUrls = [
  ...text,
  ...[
    'x',
    'e.com',
    '//e.com',
    'ftp://e.com',
    'http:',
    'http://',
    'http:///',
    'http:/e.com',
    'http:e.com',
    ' http://e.com',
  ],
  ...[
    'http://e.com ',
    'http://a b/',
    'http://e.com/a b',
    'http://e.com:99999',
    'http://e.com:-1',
    'http://e.com:8a',
  ],
  ...[
    'http://e.com\n',
    'http://e.com\r\nX: y',
    'http://e.com/\0',
    'http:\\\\e.com',
    'http://[::1',
    'http://::1',
    'http://[x]',
  ],
  ...[
    'http://u:secret@e.com',
    'http://u@e.com',
    'http://@e.com',
    'http://e.com/#f',
    'http://256.1.1.1',
    'http://a..b',
  ],
  ...[
    'http://*.e.com',
    'http://e%.com',
    'http://e.com/<x>',
    'http://-e.com',
    `http://${'a'.repeat(64)}.com`,
    'http://,',
  ],
];
const baseUrl: Row = {
  wrong: [
    ...wrongUrls,
    ...['ü', 'a%20b', 'a//b', '{id}', ':id', '*x', '@'].map((one) => `http://e.com/${one}`),
    'http://e.com/?q',
    'http://e.com?',
    `http://e.com/${'x'.repeat(1100)}`,
  ],
  right: [
    ...same(
      '',
      'http://e.com',
      'https://e.com/copse',
      'http://10.0.0.1:8080',
      'http://[::1]:8080',
      'http://rack_1:1',
    ),
    ['HTTPS://E.com/Copse/', 'https://e.com/Copse'],
    ['http://例え.jp', 'http://xn--r8jz45g.jp'],
    ['https://bücher.example/a.b~c//', 'https://xn--bcher-kva.example/a.b~c'],
    ['http://e.com:80', 'http://e.com'],
    ['http://e.com:65535/', 'http://e.com:65535'],
    ['http://e.com/a/../b', 'http://e.com/b'],
  ],
};
const host: Row = {
  wrong: [
    ...text,
    '',
    ' ',
    'a b',
    '[::1]',
    '127.0.0.1:80',
    'http://e.com',
    '999.1.1.1',
    '1.2.3',
    'e.com/',
    'a..b',
    '*',
    '-a',
  ],
  right: same('127.0.0.1', '0.0.0.0', '::', '::1', 'localhost', 'rack-1.example', 'rack_1'),
};
const path: Row = {
  wrong: [...text, '', 'a\0b', 'x'.repeat(4096)],
  right: same('data', '/var/lib/copse', 'a b', 'ü'),
};

const rows: Record<string, Row> = {
  'server.host': host,
  'server.port': integer(0, 65_535),
  'server.publicUrl': baseUrl,
  'server.bodyLimit': integer(1024, 2 ** 28),
  'server.headerLimit': integer(8192, 2 ** 20),
  'server.requestTimeout': seconds,
  'server.headersTimeout': seconds,
  'server.sendTimeout': seconds,
  'server.keepAliveTimeout': seconds,
  'server.maxConnections': integer(1, 10_000_000),
  'server.backlog': integer(1, 65_535),
  'server.corsOrigins': {
    wrong: [
      'https://e.com',
      ...[...wrongUrls, '', '*', 'null', 'https://e.com/', 'https://e.com/x', 'https://e.com?'].map((one) => [
        one,
      ]),
    ],
    right: [
      [[], []],
      [
        ['https://E.com:443', 'http://bücher.example'],
        ['https://e.com', 'http://xn--bcher-kva.example'],
      ],
      [['http://localhost:3000'], ['http://localhost:3000']],
    ],
  },
  'server.trustedProxies': {
    wrong: [
      '10.0.0.0/8',
      ...['', '10.0.0.0/33', '10.0.0', 'fd00::/129', 'localhost', ' ::1', 1].map((one) => [one]),
    ],
    right: [
      [[], []],
      [
        ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
        ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
      ],
    ],
  },
  'server.drainDelay': number(0, 600),
  'server.drainLimit': number(0, 600),
  'limits.requests': integer(0, 1_000_000_000),
  'limits.window': integer(1, 86_400),
  'limits.failuresPerAddress': integer(0, 1_000_000_000),
  'limits.failuresPerName': integer(0, 1_000_000_000),
  'tracing.endpoint': {
    wrong: [...wrongUrls],
    right: [
      ...same('', 'http://127.0.0.1:4318/v1/traces', 'https://e.com/v1/traces?tenant=a'),
      ['http://例え.jp/v1/traces', 'http://xn--r8jz45g.jp/v1/traces'],
    ],
  },
  dataDir: path,
  store: {
    wrong: [
      ...text,
      '',
      'sqlite',
      'sqlite:',
      'mysql://h',
      'mongodb:',
      'mongodb://',
      ' sqlite:x',
      'SQLITE:x',
      'sqlite:a\0',
    ],
    right: same('sqlite:x', 'sqlite::memory:', 'sqlite:/a/b.sqlite', 'mongodb://h/db', 'mongodb+srv://u:p@h'),
  },
  'cache.pages': integer(0, 65_536),
  'check.limit': integer(0, 2 ** 30),
  'locks.wait': seconds,
  adminKey: {
    wrong: [
      ...text,
      'short',
      'x'.repeat(31),
      'x'.repeat(257),
      `${'x'.repeat(40)} `,
      `${'x'.repeat(40)}ü`,
      `${'x'.repeat(40)}\n`,
    ],
    right: same('', 'x'.repeat(32), 'x'.repeat(256)),
  },
  'auth.superUsers': {
    wrong: ['admin', [''], ['Not A Name'], [1], null],
    right: [
      [[], []],
      [
        ['a', 'b-c'],
        ['a', 'b-c'],
      ],
    ],
  },
  'auth.onboarding': { wrong: ['true', 1, 0, null, []], right: same(true, false) },
  'auth.everyoneIsSuperUser': { wrong: ['true', 1, 0, null, []], right: same(true, false) },
  'auth.authorizationServers': {
    wrong: ['https://e.com', ...[...wrongUrls, '', 'https://e.com?x'].map((one) => [one])],
    // Issuers are compared as they are.
    right: [
      [
        ['https://e.com/', 'https://e.com/realm'],
        ['https://e.com/', 'https://e.com/realm'],
      ],
    ],
  },
  // More: issuers.test.ts.
  'auth.oidc': { wrong: ['https://e.com', [1], [{}]], right: same([]) },
  'auth.sessions.idle': number(1, 31_536_000, [0]),
  'auth.sessions.lifetime': number(1, 31_536_000, [0]),
  'auth.scopes': {
    wrong: ['a', ['a b'], [''], ['"'], ['ü'], [1]],
    right: [
      [
        ['a', 'b:c'],
        ['a', 'b:c'],
      ],
    ],
  },
  'log.level': { wrong: ['loud', '', 'INFO', 30, null], right: same('fatal', 'info', 'silent') },
  'tasks.concurrency': integer(1, 10_000),
  'tasks.lease': seconds,
  'tasks.poll': seconds,
  'tasks.notice': seconds,
  'tasks.maxAttempts': integer(1, 50),
  'tasks.backoff': { ...seconds, right: same(0.001, 60) },
  'tasks.backoffMax': { ...seconds, right: same(1, 86_400) },
  'tasks.grace': number(0, 3600),
  'tasks.observe': seconds,
  'tasks.maxInterruptions': integer(1, 40),
  'tasks.sweep': seconds,
  ...outsideOptions,
  'tasks.keep': { wrong: [...wrongNumbers, 0, 36_501, 1e300], right: same(0.5, 36_500) },
  'events.keep': { wrong: [...wrongNumbers, 0, 3651], right: same(0.5, 3650) },
  'events.heartbeat': seconds,
  'events.streamLimit': seconds,
  'instances.maxLifetime': { wrong: [...wrongNumbers, 0, 36_501], right: same(0.5, 36_500) },
  'instances.expiryWarning': number(0, 8784),
  'instances.trash': number(0, 8784),
  'worker.listen': { wrong: ['true', 1, null], right: same(true, false) },
  'worker.host': host,
  'worker.port': integer(0, 65_535),
  'worker.address': baseUrl,
  regions: {
    wrong: [
      'local',
      [],
      [''],
      ['a=b'],
      ['A'],
      ['local', 'local'],
      ['a=local', 'a=simulated'],
      ['local', 'local=local'],
      [1],
    ],
    right: [
      [
        ['local', 'a=local', 'b'],
        ['local', 'a=local', 'b'],
      ],
    ],
  },
  'local.accelerator': { wrong: ['xen', '', null, 1], right: same('auto', 'kvm', 'tcg') },
  'local.imageDir': {
    ...path,
    wrong: path.wrong.filter((one) => one !== ''),
    right: [...path.right, ['', '']],
  },
  'local.qemu': path,
  'local.qemuImg': path,
  'local.startWidth': integer(0, 1024),
  'local.startSlot': seconds,
  'local.stopDeadline': seconds,
  'local.tbSize': integer(16, 4096),
  'local.consoleLimit': integer(65_536, 2 ** 40),
  'local.flavors': {
    wrong: [
      'x',
      [],
      [{}],
      [{ name: 'a', cpus: 1, memoryMiB: Infinity, diskGB: 1 }],
      [{ name: 'a', cpus: 1, memoryMiB: 64, diskGB: 0 }],
      [{ name: 'a', cpus: 1, memoryMiB: 64, diskGB: 1, more: 1 }],
      ['a', 'a'].map((name) => ({ name, cpus: 1, memoryMiB: 64, diskGB: 1 })),
    ],
    right: [
      [
        [{ name: 'a', cpus: 1, memoryMiB: 64, diskGB: 1 }],
        [{ name: 'a', cpus: 1, memoryMiB: 64, diskGB: 1 }],
      ],
    ],
  },
  'simulated.delay': integer(0, 3_600_000),
  'simulated.delayJitter': number(0, 1),
  'simulated.failureRate': number(0, 1),
  'simulated.seed': { wrong: [NaN, Infinity, 0.5, 1e300, '1'], right: same(0, -5, 2 ** 40) },
};

describe('the value of an option', () => {
  it('is in this table for every option that there is', () => {
    const defaults = parse(readFileSync(join(packageRoot(), 'config', 'default.yaml'), 'utf8')) as Tree;
    expect(Object.keys(rows)).to.have.members(leaves(defaults));
  });

  for (const [key, { wrong, right }] of Object.entries(rows)) {
    it(`${key} is refused with its name when it is wrong, and read as it is meant when it is right`, () => {
      for (const value of wrong) {
        const message = refusal(treeOf(key, value));
        const shown = typeof value === 'number' ? String(value) : JSON.stringify(value);
        expect(message, `${key} ${shown.slice(0, 100)} was taken`).to.be.a('string');
        for (const line of (message ?? '').split('\n')) expect(line.startsWith(key), line).to.be.true;
        expect(message?.replaceAll(key, ''), shown).not.to.include('secret');
      }
      for (const [given, read] of right) {
        const config = loadConfig({ environment: {}, flags: treeOf(key, given) });
        expect(at(config, key), JSON.stringify(given)).to.deep.equal(read);
      }
    });
  }

  it('is refused together with another that it contradicts', () => {
    const cases: [Tree, string][] = [
      [{ tasks: { backoff: 10, backoffMax: 5 } }, 'tasks.backoff must not exceed tasks.backoffMax'],
      [{ server: { port: 81 }, worker: { listen: true, port: 81 } }, 'worker.port must differ'],
      [{ server: { port: 81, host: '::' }, worker: { listen: true, port: 81 } }, 'worker.port must differ'],
    ];
    for (const [tree, message] of cases) expect(refusal(tree)).to.include(message);
    expect(refusal({ server: { port: 81 }, worker: { port: 81 } })).to.be.undefined;
    expect(refusal({ server: { port: 81, host: '10.0.0.1' }, worker: { listen: true, port: 81 } })).to.be
      .undefined;
  });
});
