/** cloud-init input. Rules: Unikorn section 2.5, step 6. */
import { userDataLimit } from './instance.js';

const firstLines = [
  '## template: jinja',
  '#cloud-config',
  '#cloud-config-archive',
  '#!',
  '#cloud-boothook',
  '#include',
  '#part-handler',
];

/** Why cloud-init would not take it, as a public sentence; undefined means that it would. */
export function userDataFault(base64: string): string | undefined {
  if (base64.length % 4 !== 0) return 'userData is not base64: its length is not a multiple of 4.';
  const data = Buffer.from(base64, 'base64');
  if (data.length > userDataLimit)
    return `userData has ${data.length} bytes decoded; at most ${userDataLimit} are taken.`;
  if (data.length === 0) return undefined;
  if (data[0] === 0x1f && data[1] === 0x8b) return undefined;
  const start = data.subarray(0, 4096).toString('latin1');
  if (firstLines.some((line) => start.startsWith(line))) return undefined;
  if (/^(content-type|mime-version|from|received):?\s/i.test(start) && /boundary=/i.test(start))
    return undefined;
  return 'userData is not cloud-init input: it must begin with #cloud-config, #!, #include, #cloud-boothook, #part-handler or "## template: jinja", or be MIME multipart or gzip.';
}
