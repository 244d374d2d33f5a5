/** The OpenAPI document, and a page that shows it without internet access. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Type } from 'typebox';
import { errorCodes, notFound } from '../model/error.js';
import { JsonText, RawBody } from './pipeline/response.js';
import { defineHandler } from './route.js';

const cacheControl = 'public, max-age=3600';

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Copse API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

// validatorUrl: the page would otherwise send the document to a service on the internet.
const start = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#reference', validatorUrl: null, deepLinking: true });
`;

function errorPage(): string {
  const rows = Object.entries(errorCodes)
    .map(
      ([code, { status, retryable, meaning }]) =>
        `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${retryable ? 'yes' : 'no'}</td><td>${meaning}</td></tr>`,
    )
    .join('\n');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Copse error codes</title></head>
<body>
<h1>Error codes</h1>
<table>
<thead><tr><th>code</th><th>status</th><th>retryable</th><th>meaning</th></tr></thead>
<tbody>
${rows}
</tbody>
</table>
</body>
</html>
`;
}

function assets(): ReadonlyMap<string, RawBody> {
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  const script = 'text/javascript; charset=utf-8';
  return new Map([
    ['swagger-ui.css', new RawBody('text/css; charset=utf-8', readFileSync(join(folder, 'swagger-ui.css')))],
    ['swagger-ui-bundle.js', new RawBody(script, readFileSync(join(folder, 'swagger-ui-bundle.js')))],
    ['start.js', new RawBody(script, start)],
    ['errors', new RawBody('text/html; charset=utf-8', errorPage())],
  ]);
}

/** GET /openapi.json; `document` renders on first use, when every route is known. */
export const getOpenApi = (document: () => string) =>
  defineHandler(
    {
      operationId: 'getOpenApi',
      summary: 'This document',
      tags: ['service'],
      responses: {
        200: { description: 'OpenAPI 3.1.', schema: Type.Object({}, { additionalProperties: true }) },
      },
    },
    { parse: () => undefined, execute: () => ({ result: new JsonText(document()) }) },
  );
/** GET /docs */
export const getReference = defineHandler(
  {
    operationId: 'getReference',
    summary: 'Reference page',
    tags: ['service'],
    responses: { 200: { description: 'A page that shows this document.', mediaType: 'text/html' } },
  },
  { parse: () => undefined, execute: () => ({ result: new RawBody('text/html; charset=utf-8', page) }) },
);
/** GET /docs/{asset} */
export function getReferenceAsset() {
  const files = assets();
  return defineHandler(
    {
      operationId: 'getReferenceAsset',
      summary: 'A file of the reference page',
      tags: ['service'],
      params: Type.Object({ asset: Type.String({ maxLength: 100 }) }, { additionalProperties: false }),
      responses: { 200: { description: 'The file.', mediaType: '*/*' } },
    },
    {
      parse: ({ params }) => params.asset,
      execute: (_connector, name) => {
        const file = files.get(name);
        if (file === undefined) throw notFound();
        return { result: file, metadata: { cacheControl } };
      },
    },
  );
}
