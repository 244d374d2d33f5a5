/** SSH public keys of users, checked by their wire format (RFC 4253, 5656, 8709). Path and names: Evergreen's. */
import { createHash, createPublicKey } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { Name, Timestamp } from './common.js';

export interface SshKeyRecord {
  userId: string;
  name: string;
  /** Type, base64 and comment, as OpenSSH writes them. */
  key: string;
  /** As `ssh-keygen -l` shows it. */
  fingerprint: string;
  creationTime: string;
}

export const SshKeyCreate = Type.Object(
  {
    name: Name,
    key: Type.String({
      minLength: 1,
      maxLength: 8192,
      description:
        'A line as in `~/.ssh/id_ed25519.pub`: ssh-ed25519, ssh-rsa of 2048 bits or more, or ECDSA.',
    }),
  },
  { title: 'SshKeyCreate', additionalProperties: false },
);
export type SshKeyCreate = Static<typeof SshKeyCreate>;

export const SshKey = Type.Object(
  {
    name: Type.String(),
    key: Type.String(),
    fingerprint: Type.String({ description: 'As `ssh-keygen -l` shows it.' }),
    creationTime: Timestamp,
  },
  { title: 'SshKey', additionalProperties: false },
);
export type SshKey = Static<typeof SshKey>;

export function presentSshKey(_id: string, { name, key, fingerprint, creationTime }: SshKeyRecord): SshKey {
  return { name, key, fingerprint, creationTime };
}

/** Takes fields from a blob; undefined once it has ended too early. */
class Fields {
  #rest: Buffer;

  constructor(blob: Buffer) {
    this.#rest = blob;
  }

  next(): Buffer | undefined {
    if (this.#rest.length < 4) return undefined;
    const end = 4 + this.#rest.readUInt32BE(0);
    if (end > this.#rest.length) return undefined;
    const field = this.#rest.subarray(4, end);
    this.#rest = this.#rest.subarray(end);
    return field;
  }

  get done(): boolean {
    return this.#rest.length === 0;
  }
}

const damaged = 'The key is damaged: its data does not match its type.';

/** Each returns why the fields after the type are refused. */
const checks: Readonly<Record<string, (fields: Fields) => string | undefined>> = {
  'ssh-ed25519': (fields) => (fields.next()?.length === 32 ? undefined : damaged),
  'ssh-rsa': rsaFault,
  'ecdsa-sha2-nistp256': (fields) => ecdsaFault(fields, 'nistp256', 'P-256', 32),
  'ecdsa-sha2-nistp384': (fields) => ecdsaFault(fields, 'nistp384', 'P-384', 48),
  'ecdsa-sha2-nistp521': (fields) => ecdsaFault(fields, 'nistp521', 'P-521', 66),
};

/** A positive integer in its shortest form. */
function bitsOf(field: Buffer | undefined): number | undefined {
  if (field === undefined || field.length === 0) return undefined;
  const first = field.readUInt8(0);
  const second = field.length > 1 ? field.readUInt8(1) : 0;
  if (first >= 0x80 || (first === 0 && second < 0x80)) return undefined;
  const digits = first === 0 ? field.subarray(1) : field;
  return digits.length * 8 - Math.clz32(digits.readUInt8(0)) + 24;
}

function rsaFault(fields: Fields): string | undefined {
  const exponent = fields.next();
  const modulus = fields.next();
  const [size, bits] = [bitsOf(exponent), bitsOf(modulus)];
  if (exponent === undefined || modulus === undefined || size === undefined || bits === undefined)
    return damaged;
  const isOdd = (number: Buffer) => number.readUInt8(number.length - 1) % 2 === 1;
  if (size < 2 || !isOdd(exponent) || !isOdd(modulus)) return damaged;
  if (bits < 2048) return `The RSA key has ${bits} bits. At least 2048 are required; prefer ssh-ed25519.`;
  return bits > 16384 ? `The RSA key has ${bits} bits. At most 16384 are allowed.` : undefined;
}

function ecdsaFault(fields: Fields, curve: string, crv: string, size: number): string | undefined {
  if (fields.next()?.toString('latin1') !== curve) return damaged;
  const point = fields.next();
  if (point?.length !== 1 + 2 * size || point.readUInt8(0) !== 4) return damaged;
  const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)].map((one) =>
    one.toString('base64url'),
  );
  try {
    // Throws for a point that is not on the curve.
    createPublicKey({ key: { kty: 'EC', crv, x: x ?? '', y: y ?? '' }, format: 'jwk' });
    return undefined;
  } catch {
    return damaged;
  }
}

/** The key as it is stored, with its fingerprint; or why it is refused. */
export function readSshKey(text: string): { key: string; fingerprint: string } | { fault: string } {
  const line = text.trim();
  // A control character could add a second line to authorized_keys.
  if (/[\p{Cc}\u2028\u2029]/u.test(line.replaceAll('\t', ' ')))
    return { fault: 'The key must be a single line.' };
  const [, type = '', data = '', comment = ''] = /^(\S+)[ \t]+(\S+)(?:[ \t]+(.*))?$/.exec(line) ?? [];
  const check = Object.hasOwn(checks, type) ? checks[type] : undefined;
  if (check === undefined)
    return { fault: `Expected a key that begins with one of ${Object.keys(checks).join(', ')}.` };
  const blob = Buffer.from(data, 'base64');
  if (blob.toString('base64') !== data) return { fault: 'The second word must be the key in base64.' };
  const fields = new Fields(blob);
  if (fields.next()?.toString('latin1') !== type) return { fault: damaged };
  const fault = check(fields) ?? (fields.done ? undefined : damaged);
  if (fault !== undefined) return { fault };
  const digest = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  const key = [type, data, ...(comment === '' ? [] : [comment.replaceAll('\t', ' ')])].join(' ');
  return { key, fingerprint: `SHA256:${digest}` };
}
