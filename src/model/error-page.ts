/** The manual's page of error codes, from the one table. */
import { errorCodes } from './error.js';

export function errorsPage(): string {
  const rows = Object.entries(errorCodes).map(
    ([code, { status, retryable, lasting, meaning }]) =>
      `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${lasting ? 'yes' : 'no'} | ${meaning} |`,
  );
  return `# Error codes

Every error has this shape, whatever produced it: a handler, the router, or the HTTP parser before any of them.

\`\`\`json
{
  "code": "name_taken",
  "message": "The project has an instance named \\"hello\\" already.",
  "requestId": "01a1fc40-e4c0-7555-8353-2d75db03d2a7",
  "retryable": false,
  "errors": [{ "pointer": "/metadata/name", "message": "The project has an instance named \\"hello\\" already." }]
}
\`\`\`

Act on \`code\`, which is stable, and on \`retryable\`; \`message\` is for people and may change. \`errors\` names the places in
the body (JSON pointer, RFC 6901) or the parameters. \`blockedBy\` is the address of the task in the way. The header
\`X-Error-Code\` repeats the code, for answers without a body. With \`Accept: application/problem+json\` the same error comes
as an RFC 9457 document. The cause of an error is only in the server's log, under the \`requestId\`.

What is *kept* is wrong with the request itself: its repeat under the same \`Idempotency-Key\` gets the same refusal. Every other
refusal is forgotten, because time or somebody else may cure it: the repeat does the work.

This page is generated from \`src/model/error.ts\` by \`npm run docs\`.

| code | status | retryable | kept | meaning |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}
