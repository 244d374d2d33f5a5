/** Every option, its type and its bounds. Checks that a type cannot express are in forms.ts and rules.ts. */
import { Type, type Static } from 'typebox';
import { namePattern, uuidPattern } from '../model/common.js';
import { type ProjectRole, projectRoles } from '../model/role.js';

const closed = { additionalProperties: false };
/** Not less than a timer can measure, not more than a timer can wait. */
const Seconds = Type.Number({ exclusiveMinimum: 0, minimum: 0.001, maximum: 86400 });
const Path = Type.String({ minLength: 1, format: 'path' });
const Host = Type.String({ minLength: 1, format: 'listen-host' });
const BaseUrl = Type.String({ maxLength: 1024, format: 'base-url' });
/** A type (also used as the name), NAME=TYPE, or just the name of a region that the store knows. */
const RegionName = Type.String({ pattern: '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(=(local|simulated))?$' });

const FlavorConfig = Type.Object(
  {
    name: Type.String({ pattern: namePattern }),
    cpus: Type.Integer({ minimum: 1, maximum: 255 }),
    memoryMiB: Type.Integer({ minimum: 64, maximum: 2 ** 24 }),
    diskGB: Type.Integer({ minimum: 1, maximum: 2 ** 20 }),
  },
  closed,
);

function oneOf<T extends string>(values: readonly T[]) {
  return Type.Unsafe<T>(Type.Union(values.map((value) => Type.Literal(value))));
}

const Claim = Type.String({ minLength: 1, maxLength: 256 });

/** What the members of a group may do: everything, or what a role allows in one project or in all of an organization. */
const GrantConfig = Type.Object(
  {
    group: Type.String({ minLength: 1, maxLength: 1024 }),
    superUser: Type.Optional(Type.Boolean()),
    project: Type.Optional(Type.String({ pattern: uuidPattern })),
    organization: Type.Optional(Type.String({ pattern: uuidPattern })),
    role: Type.Optional(oneOf<ProjectRole>(projectRoles)),
  },
  closed,
);

/** Asymmetric ones only: with a symmetric one, whoever can verify a token can also forge it. */
const algorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'],
  ...['EdDSA', 'Ed25519'],
];

const IssuerConfig = Type.Object(
  {
    issuer: Type.String({ minLength: 1, maxLength: 1024, format: 'issuer-url' }),
    audience: Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { minItems: 1 }),
    algorithms: Type.Optional(Type.Array(oneOf(algorithms), { minItems: 1 })),
    leeway: Type.Optional(Type.Number({ minimum: 0, maximum: 600 })),
    users: Type.Optional(oneOf<'create' | 'existing'>(['create', 'existing'])),
    username: Type.Optional(Claim),
    groups: Type.Optional(Claim),
    grants: Type.Optional(Type.Array(GrantConfig)),
    timeout: Type.Optional(Type.Number({ minimum: 0.1, maximum: 30 })),
    keysMaxAge: Type.Optional(Type.Number({ minimum: 0.1, maximum: 86400 })),
    keysCooldown: Type.Optional(Type.Number({ minimum: 0, maximum: 3600 })),
  },
  closed,
);
export type IssuerConfig = Static<typeof IssuerConfig>;

const Named = Type.String({ minLength: 1, maxLength: 128 });

const HookRuleConfig = Type.Object(
  {
    name: Type.String({ pattern: namePattern }),
    labels: Type.Array(Type.String({ pattern: '^[A-Za-z0-9._-]{1,100}$' }), { minItems: 1, maxItems: 50 }),
    repositories: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Za-z0-9._-]+/([A-Za-z0-9._-]+|\\*)$' }), { maxItems: 1000 }),
    ),
    project: Named,
    region: Named,
    flavor: Named,
    image: Named,
    network: Type.Optional(Named),
    userData: Type.Optional(Type.String({ maxLength: 32768 })),
    limit: Type.Integer({ minimum: 1, maximum: 1000 }),
    lifetime: Type.Number({ minimum: 0.01, maximum: 720 }),
  },
  closed,
);

export const ConfigSchema = Type.Object(
  {
    server: Type.Object(
      {
        host: Host,
        port: Type.Integer({ minimum: 0, maximum: 65535 }),
        publicUrl: BaseUrl,
        bodyLimit: Type.Integer({ minimum: 1024, maximum: 2 ** 28 }),
        headerLimit: Type.Integer({ minimum: 8192, maximum: 2 ** 20 }),
        requestTimeout: Seconds,
        headersTimeout: Seconds,
        sendTimeout: Seconds,
        keepAliveTimeout: Seconds,
        maxConnections: Type.Integer({ minimum: 1, maximum: 10_000_000 }),
        backlog: Type.Integer({ minimum: 1, maximum: 65535 }),
        trustedProxies: Type.Array(Type.String({ minLength: 1, format: 'address-range' })),
        corsOrigins: Type.Array(Type.String({ minLength: 1, format: 'origin' })),
        drainDelay: Type.Number({ minimum: 0, maximum: 600 }),
        drainLimit: Type.Number({ minimum: 0, maximum: 600 }),
      },
      closed,
    ),
    limits: Type.Object(
      {
        requests: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
        window: Type.Integer({ minimum: 1, maximum: 86400 }),
        failuresPerAddress: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
        failuresPerName: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
      },
      closed,
    ),
    tracing: Type.Object({ endpoint: Type.String({ format: 'endpoint-url' }) }, closed),
    dataDir: Path,
    store: Type.String({ pattern: '^(sqlite:.+|mongodb(\\+srv)?://.+)$', format: 'path' }),
    cache: Type.Object({ pages: Type.Integer({ minimum: 0, maximum: 65536 }) }, closed),
    check: Type.Object({ limit: Type.Integer({ minimum: 0, maximum: 2 ** 30 }) }, closed),
    locks: Type.Object({ wait: Seconds }, closed),
    adminKey: Type.String({ pattern: '^$|^[\\x21-\\x7e]{32,256}$' }),
    auth: Type.Object(
      {
        superUsers: Type.Array(Type.String({ pattern: namePattern })),
        everyoneIsSuperUser: Type.Boolean(),
        onboarding: Type.Boolean(),
        authorizationServers: Type.Array(Type.String({ minLength: 1, format: 'issuer-url' })),
        scopes: Type.Array(Type.String({ pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$' })),
        oidc: Type.Array(IssuerConfig),
        sessions: Type.Object(
          {
            idle: Type.Number({ minimum: 1, maximum: 31_536_000 }),
            lifetime: Type.Number({ minimum: 1, maximum: 31_536_000 }),
          },
          closed,
        ),
      },
      closed,
    ),
    log: Type.Object(
      {
        level: Type.Union(
          (['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const).map((level) =>
            Type.Literal(level),
          ),
        ),
      },
      closed,
    ),
    tasks: Type.Object(
      {
        concurrency: Type.Integer({ minimum: 1, maximum: 10000 }),
        lease: Seconds,
        poll: Seconds,
        notice: Seconds,
        maxAttempts: Type.Integer({ minimum: 1, maximum: 50 }),
        backoff: Seconds,
        backoffMax: Seconds,
        grace: Type.Number({ minimum: 0, maximum: 3600 }),
        observe: Seconds,
        maxInterruptions: Type.Integer({ minimum: 1, maximum: 40 }),
        sweep: Seconds,
        keep: Type.Number({ exclusiveMinimum: 0, maximum: 36500 }),
      },
      closed,
    ),
    events: Type.Object(
      {
        keep: Type.Number({ exclusiveMinimum: 0, maximum: 3650 }),
        heartbeat: Seconds,
        streamLimit: Seconds,
      },
      closed,
    ),
    hooks: Type.Object(
      {
        github: Type.Object(
          {
            secret: Type.String({ pattern: '^$|^[\\x20-\\x7e]{16,256}$' }),
            rules: Type.Array(HookRuleConfig, { maxItems: 100 }),
          },
          closed,
        ),
      },
      closed,
    ),
    webhooks: Type.Object(
      {
        allowAddresses: Type.Array(Type.String({ minLength: 1, format: 'address-range' })),
        allowHttp: Type.Boolean(),
        timeout: Seconds,
        retries: Type.Array(Type.Number({ exclusiveMinimum: 0, minimum: 0.001, maximum: 604800 }), {
          minItems: 1,
          maxItems: 50,
        }),
        keep: Type.Number({ exclusiveMinimum: 0, maximum: 3650 }),
      },
      closed,
    ),
    instances: Type.Object(
      {
        maxLifetime: Type.Number({ exclusiveMinimum: 0, maximum: 36500 }),
        expiryWarning: Type.Number({ minimum: 0, maximum: 8784 }),
        trash: Type.Number({ minimum: 0, maximum: 8784 }),
      },
      closed,
    ),
    worker: Type.Object(
      {
        listen: Type.Boolean(),
        host: Host,
        port: Type.Integer({ minimum: 0, maximum: 65535 }),
        address: BaseUrl,
      },
      closed,
    ),
    regions: Type.Array(RegionName, { minItems: 1, uniqueItems: true }),
    local: Type.Object(
      {
        accelerator: Type.Union([Type.Literal('auto'), Type.Literal('kvm'), Type.Literal('tcg')]),
        imageDir: Type.String({ format: 'path' }),
        qemu: Path,
        qemuImg: Path,
        startWidth: Type.Integer({ minimum: 0, maximum: 1024 }),
        startSlot: Seconds,
        stopDeadline: Seconds,
        tbSize: Type.Integer({ minimum: 16, maximum: 4096 }),
        consoleLimit: Type.Integer({ minimum: 65536, maximum: 2 ** 40 }),
        flavors: Type.Array(FlavorConfig, { minItems: 1 }),
      },
      closed,
    ),
    simulated: Type.Object(
      {
        delay: Type.Integer({ minimum: 0, maximum: 3600000 }),
        delayJitter: Type.Number({ minimum: 0, maximum: 1 }),
        failureRate: Type.Number({ minimum: 0, maximum: 1 }),
        seed: Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
      },
      closed,
    ),
  },
  closed,
);

export type Config = Static<typeof ConfigSchema>;
