/** The manual's page of error codes, generated from the table. */
import { errorCodes } from './error.js';

export function errorsPage(): string {
  const rows = Object.entries(errorCodes).map(
    ([code, { status, retryable, lasting, meaning }]) =>
      `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${lasting ? 'yes' : 'no'} | ${meaning} |`,
  );
  return `# Error codes

Every error has this form, whether it comes from a handler, the router, or the HTTP parser in front of them.

\`\`\`json
{
  "code": "name_taken",
  "message": "The project already has an instance named \\"hello\\".",
  "requestId": "01a1fc40-e4c0-7555-8353-2d75db03d2a7",
  "retryable": false,
  "errors": [{ "pointer": "/metadata/name", "message": "The project already has an instance named \\"hello\\"." }]
}
\`\`\`

Base decisions on \`code\`, which is stable, and on \`retryable\`; \`message\` is for people and may change. \`errors\` lists the
places in the body (JSON pointer, RFC 6901) or the parameters. \`blockedBy\` is the address of the task that blocks the request. The
header \`X-Error-Code\` repeats the code, for responses without a body. With \`Accept: application/problem+json\` the same error comes
as an RFC 9457 document. The cause of an error is only in the server's log, under the \`requestId\`.

A refusal is *stored* if the request itself is at fault: a repeat under the same \`Idempotency-Key\` returns the same refusal. Any other
refusal is not stored, because time or another caller may resolve it: the repeat does the work.

This page is generated from \`src/model/error-code.ts\` by \`npm run docs\`.

| code | status | retryable | stored | meaning |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}
