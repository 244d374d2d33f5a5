/** Who may import whom: the layers of docs/architecture.md, and the fences around packages. */
const fence = (name, packages, allowed) => ({
  name,
  severity: 'error',
  from: { path: '^src/', pathNot: allowed },
  to: { path: packages },
});
const layer = (from, allowed) => ({
  name: `${from.replace(/[^a-z]/g, '')}-imports-downwards-only`,
  severity: 'error',
  from: { path: `^src/${from}` },
  to: { path: '^src/', pathNot: allowed.map((path) => `^src/${path}`) },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/' },
      to: {},
    },
    {
      name: 'no-dev-dependencies-in-src',
      severity: 'error',
      // tracing.ts loads its optional peers at run time, when an endpoint is configured.
      from: { path: '^src/', pathNot: '^src/tracing\\.ts$' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    layer('model/', ['model/']),
    layer('region/[^/]+\\.ts$', ['model/', 'region/[^/]+\\.ts$']),
    layer('region/local/', ['model/', 'region/[^/]+\\.ts$', 'region/local/']),
    layer('region/remote/', ['model/', 'region/[^/]+\\.ts$', 'region/remote/']),
    layer('region/simulated/', ['model/', 'region/[^/]+\\.ts$', 'region/simulated/']),
    layer('data/store/', ['model/', 'data/store/', 'data/owner\\.ts$']),
    layer('data/migration/', ['model/', 'data/[^/]+\\.ts$', 'data/store/[^/]+\\.ts$', 'data/migration/']),
    layer('command/', ['config\\.ts$', 'stores\\.ts$', 'logger\\.ts$', 'model/', 'data/', 'command/']),
    layer('data/[^/]+\\.ts$', [
      'model/',
      'data/migration/schema\\.ts$',
      'region/provider\\.ts$',
      'data/[^/]+\\.ts$',
      'data/store/[^/]+\\.ts$',
    ]),
    layer('task/', [
      'model/',
      'region/provider\\.ts$',
      'data/[^/]+\\.ts$',
      'data/store/[^/]+\\.ts$',
      'task/',
    ]),
    layer('route/pipeline/', [
      'model/(error|interruption|log|standing|trace|link-header)\\.ts$',
      'route/pipeline/',
    ]),
    layer('route/[^/]+\\.ts$', [
      'model/',
      'region/provider\\.ts$',
      'data/[^/]+\\.ts$',
      'data/store/port\\.ts$',
      'route/',
    ]),
    layer('client/', ['model/', 'client/']),
    layer('stores\\.ts$', ['model/', 'data/store/', 'data/migration/index\\.ts$']),
    layer('regions\\.ts$', ['config\\.ts$', 'model/', 'data/', 'region/']),
    layer('registration\\.ts$', ['model/', 'data/', 'region/']),
    layer('app\\.ts$', [
      '(regions|registration|stores|config|server|metrics|tracing)\\.ts$',
      'model/',
      'data/',
      'region/',
      'task/',
      'route/',
    ]),
    layer('config\\.ts$', ['model/']),
    layer('server\\.ts$', ['config\\.ts$', 'connections\\.ts$', 'model/', 'route/pipeline/']),
    layer('connections\\.ts$', []),
    layer('metrics\\.ts$', ['route/pipeline/']),
    layer('tracing\\.ts$', ['config\\.ts$', 'model/']),
    layer('logger\\.ts$', ['model/', 'config\\.ts$']),
    fence('koa-in-route-and-app-only', '^node_modules/(koa|@koa|koa-bodyparser)/', '^src/(route/|app\\.ts$)'),
    fence(
      'sqlite-in-its-store-and-the-simulation-only',
      '^node_modules/better-sqlite3/',
      '^src/(data/store/sqlite|region/simulated)/',
    ),
    fence('mongodb-in-its-store-only', '^node_modules/mongodb/', '^src/data/store/mongo/'),
    fence('child-processes-in-the-local-region-only', '^(node:)?child_process$', '^src/region/local/'),
    fence('prom-client-in-metrics-only', '^node_modules/prom-client/', '^src/metrics\\.ts$'),
    fence('opentelemetry-in-tracing-only', '^node_modules/@opentelemetry/', '^src/tracing\\.ts$'),
    fence('pino-in-the-logger-only', '^node_modules/pino/', '^src/logger\\.ts$'),
    fence(
      'p-queue-in-tasks-and-the-local-region-only',
      '^node_modules/p-queue/',
      '^src/(task|region/local)/',
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: '^node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
