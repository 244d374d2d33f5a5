import tseslint from 'typescript-eslint';

export default tseslint.config(
  {
    ignores: [
      'node_modules',
      'dist',
      'build',
      'data',
      '.cache',
      'scripts',
      'src/page/script.js',
      '.dependency-cruiser.cjs',
      'eslint.config.js',
      'examples',
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines': ['error', { max: 400, skipBlankLines: false, skipComments: false }],
      'no-duplicate-imports': 'error',
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Only src/config.ts reads the environment.' },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.object.name='console']",
          message: 'Log with pino; the CLI writes to process.stdout.',
        },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  {
    // Not for tests: the callback of a suite is as long as the suite.
    files: ['src/**', 'bench/**', 'test/support/**'],
    rules: { 'max-lines-per-function': ['error', { max: 60, skipBlankLines: false, skipComments: false }] },
  },
  {
    // The command line of clients has its own few variables.
    files: ['src/config.ts', 'src/cli/connection.ts', 'src/cli/terminal.ts', 'test/**', 'bench/**'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    // chai's assertions are property reads; mocha binds `this`.
    files: ['test/**', 'bench/**'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      'no-restricted-syntax': 'off',
    },
  },
  {
    // So that every response in the whole suite is checked against the OpenAPI document: test/support/conform.ts.
    files: ['test/**'],
    ignores: ['test/support/conform.ts', 'test/support/worker.ts', 'test/client/client.test.ts'],
    rules: {
      'no-restricted-globals': ['error', { name: 'fetch', message: 'Use checkedFetch or Api.' }],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Client']", message: 'Use checkedClient.' },
      ],
    },
  },
  {
    files: ['test/**'],
    ignores: ['test/support/fuzz-http.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          name: 'node:http',
          importNames: ['request', 'get'],
          message: 'Use wire of test/support/fuzz-http.ts.',
        },
      ],
    },
  },
);
