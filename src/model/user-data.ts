/**
 * cloud-init input. Rules: Unikorn section 2.5, step 6. cloud-init ignores what it does not understand, and the machine
 * comes up without it; so such input is refused here, as far as it can be detected.
 */
import { gunzipSync } from 'node:zlib';
import { yamlFault } from './cloud-config.js';
import { userDataLimit } from './instance.js';
import { MimeFault, type Part, partsOf } from './mime.js';

const firstLines = [
  '## template: jinja',
  '#cloud-config',
  '#cloud-config-archive',
  '#!',
  '#cloud-boothook',
  '#include',
  '#part-handler',
];

/** Maximum size in bytes of all compressed data once decompressed. */
const plainLimit = 2 ** 20;
/**
 * Bytes of YAML that are parsed per request: at worst 0.2 s of CPU time. Anything beyond is accepted without parsing.
 */
const yamlLimit = 2 ** 14;

/** The remaining budget of a request. */
interface Budget {
  plain: number;
  yaml: number;
}

class Fault extends Error {
  override readonly name = 'Fault';
}

/** Why cloud-init would not accept it, as a public sentence; undefined if it would. */
export function userDataFault(base64: string): string | undefined {
  if (base64.length % 4 !== 0) return 'userData is not base64: its length is not a multiple of 4.';
  const data = Buffer.from(base64, 'base64');
  if (data.length > userDataLimit)
    return `userData decodes to ${data.length} bytes; the limit is ${userDataLimit}.`;
  const budget = { plain: plainLimit, yaml: yamlLimit };
  try {
    check(isGzip(data) ? unpacked(data, 'userData', budget) : data, budget);
    return undefined;
  } catch (error) {
    if (error instanceof MimeFault) return `userData is MIME multipart, but ${error.message}`;
    if (error instanceof Fault) return error.message;
    throw error;
  }
}

function check(data: Buffer, budget: Budget): void {
  if (data.length === 0) return;
  const start = data.subarray(0, 64).toString('latin1');
  if (firstLines.some((line) => start.startsWith(line))) {
    checkYaml(data, shapeOf(start), 'userData', 0, budget);
    return;
  }
  const parts = partsOf(data.toString('latin1'));
  if (parts === undefined) {
    throw new Fault(
      'userData is not cloud-init input: it must start with #cloud-config, #!, #include, #cloud-boothook, #part-handler or "## template: jinja", or be MIME multipart or gzip.',
    );
  }
  for (const part of parts) checkPart(part, budget);
}

/** Parts of unknown types are accepted: an image may have handlers of its own. */
function checkPart({ place, type, content, before }: Part, budget: Budget): void {
  const what = `Part ${place} of userData`;
  const packed = isGzip(content);
  const data = packed ? unpacked(content, what, budget) : content;
  // cloud-init inspects the content if the type only says that it is text, or compressed.
  const sniffed = packed || ['text/plain', 'text/x-not-multipart'].includes(type);
  const shape = sniffed
    ? shapeOf(data.subarray(0, 64).toString('latin1'))
    : type === 'text/cloud-config'
      ? 'mapping'
      : type === 'text/cloud-config-archive'
        ? 'list'
        : undefined;
  checkYaml(data, shape, what, packed ? 0 : (before ?? 0), budget);
}

/** The required type of YAML that starts like this; undefined: it is not YAML. */
function shapeOf(start: string): 'mapping' | 'list' | undefined {
  if (start.startsWith('#cloud-config-archive')) return 'list';
  // A JSON patch.
  if (start.startsWith('#cloud-config-jsonp')) return undefined;
  return start.startsWith('#cloud-config') ? 'mapping' : undefined;
}

function checkYaml(
  data: Buffer,
  shape: 'mapping' | 'list' | undefined,
  what: string,
  before: number,
  budget: Budget,
): void {
  if (shape === undefined || data.length > budget.yaml) return;
  budget.yaml -= data.length;
  const text = data.toString();
  // Not UTF-8: cannot be judged here.
  if (text.includes('\ufffd')) return;
  const fault = yamlFault(text, shape);
  if (fault === undefined) return;
  const where = fault.line === undefined ? '' : ` (line ${before + fault.line})`;
  throw new Fault(`${what} is cloud-config that cloud-init cannot read${where}: ${fault.reason}.`);
}

function isGzip(data: Buffer): boolean {
  return data[0] === 0x1f && data[1] === 0x8b;
}

function unpacked(data: Buffer, what: string, budget: Budget): Buffer {
  try {
    const plain = gunzipSync(data, { maxOutputLength: Math.max(1, budget.plain) });
    budget.plain -= plain.length;
    return plain;
  } catch (error) {
    throw new Fault(
      error instanceof RangeError
        ? `${what} decompresses to more than ${plainLimit} bytes.`
        : `${what} is gzip that cannot be decompressed.`,
    );
  }
}
