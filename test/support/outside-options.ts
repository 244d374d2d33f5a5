/** Values of the options for hooks and webhooks: wrong ones, and right ones as given and as read. */
const same = (...values: unknown[]): [unknown, unknown][] => values.map((value) => [value, value]);

const hookRule = {
  name: 'small',
  labels: ['self-hosted'],
  project: 'ci',
  region: 'local',
  flavor: 'small',
  image: 'debian',
  limit: 1,
  lifetime: 0.5,
};

export const outsideOptions: Record<string, { wrong: unknown[]; right: [given: unknown, read: unknown][] }> =
  {
    'hooks.github.secret': {
      wrong: [1, null, [], 'too short', 'x'.repeat(257), 'a line\nand another one'],
      right: same('', 'sixteen letters!', 'x'.repeat(256)),
    },
    'hooks.github.rules': {
      wrong: [
        {},
        ...[
          {},
          { ...hookRule, labels: [] },
          { ...hookRule, labels: ['a b'] },
          { ...hookRule, limit: 0 },
          { ...hookRule, lifetime: 0 },
          { ...hookRule, repositories: ['octo'] },
          { ...hookRule, userData: '{{job.token}}' },
          { ...hookRule, other: 1 },
        ].map((one) => [one]),
        [hookRule, hookRule],
      ],
      right: same(
        [],
        [hookRule],
        [{ ...hookRule, repositories: ['octo/*'], userData: '{{ job.id }} {{x}}' }],
      ),
    },
    'webhooks.allowAddresses': {
      wrong: [
        '10.0.0.0/8',
        ...['', '10.0.0.0/33', '10.0.0', 'fd00::/129', 'localhost', '10.0.0.1-10.0.0.9', ' ::1', 1].map(
          (one) => [one],
        ),
      ],
      right: [
        [[], []],
        [
          ['10.0.0.0/8', '192.168.1.7', 'fd00::/8', '::1'],
          ['10.0.0.0/8', '192.168.1.7', 'fd00::/8', '::1'],
        ],
      ],
    },
    'webhooks.allowHttp': { wrong: ['true', 1, null], right: same(true, false) },
    'webhooks.timeout': { wrong: [0, 86_401, '1', null], right: same(0.001, 86_400) },
    'webhooks.retries': {
      wrong: [5, [], ['5'], [0], [604_801], Array(51).fill(1)],
      right: [
        [[0.001], [0.001]],
        [
          [5, 604_800],
          [5, 604_800],
        ],
      ],
    },
    'webhooks.keep': { wrong: ['1', null, -1, 0, 3_651, 1e300], right: same(0.5, 3_650) },
  };
