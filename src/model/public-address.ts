/** Ranges of addresses, and which belong to the public Internet, so that a request on behalf of a user may go there. */
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Public by their range, but answered by the cloud that a machine runs in. */
const clouds = ['168.63.129.16'];

/** `10.0.0.0/8` and the like; a bare address stands for itself alone. */
export function isRange(text: string): boolean {
  return ipaddr.isValidCIDR(text) || ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text);
}

function isIn(address: Address, range: string): boolean {
  const [base, bits] = ipaddr.isValidCIDR(range)
    ? ipaddr.parseCIDR(range)
    : ([ipaddr.parse(range), ipaddr.parse(range).kind() === 'ipv4' ? 32 : 128] as const);
  return base.kind() === address.kind() && address.match(base, bits);
}

/** Whether an address is in one of the ranges. */
export function isInRanges(text: string, ranges: readonly string[]): boolean {
  return ipaddr.isValid(text) && ranges.some((range) => isIn(ipaddr.process(text), range));
}

/**
 * Whether the address is public or in one of the allowed ranges. Anything that leads elsewhere than it says (IPv4 in
 * IPv6, NAT64, 6to4, Teredo) is not public.
 */
export function isAllowedAddress(text: string, allowed: readonly string[]): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.parse(text);
  const plain = ipaddr.process(text);
  if (allowed.some((range) => isIn(plain, range))) return true;
  if (address.range() !== 'unicast' || clouds.includes(address.toString())) return false;
  // Only 2000::/3 is assigned; the IPv4-compatible addresses below ::/96 are not, but some systems accept them.
  return address.kind() === 'ipv4' || ((address.toByteArray()[0] ?? 0) & 0xe0) === 0x20;
}
