/** Ids for what a region offers: the same thing has the same id in every process and after every restart. */
import { createHash } from 'node:crypto';

/**
 * UUIDv8 (RFC 9562, section 5.8) of the SHA-256 of the parts: 122 bits of the hash, the rest is version and variant.
 * The parts are joined as JSON, so that no two different lists of them meet.
 */
export function stableId(...parts: string[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** A MAC address of QEMU's range (52:54:00) that belongs to this server for life. */
export function stableMac(instanceId: string): string {
  const tail = createHash('sha256').update(instanceId).digest().subarray(0, 3);
  return `52:54:00:${[...tail].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
}
