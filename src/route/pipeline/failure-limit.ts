/**
 * Limits how often callers may fail to authenticate: per address and per name, by the generic cell rate algorithm, in
 * the memory of the process. A credential that has worked is never refused because others have failed from its address
 * or under its name; any other one is refused without being looked up while the limit is reached. Attempts that are
 * refused so do not count, so that nobody is locked out for longer than `Retry-After` says.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import { ApiError } from '../../model/error.js';

export interface FailureLimitOptions {
  /** Failures per window, possibly all at once. 0: no limit. */
  failuresPerAddress: number;
  failuresPerName: number;
  /** Seconds. */
  window: number;
  /** Whether an address is that of a proxy that says in X-Forwarded-For whom it forwards; undefined: there is none. */
  trusts?: ((address: string) => boolean) | undefined;
  /** The part of the field Cookie that is a credential; undefined: none is. */
  credentialIn?: (cookie: string) => string | undefined;
}

/** Addresses and names that are remembered, and credentials that have worked. */
const entryLimit = 10_000;

/** The longest name that a user can have, in bytes. */
const nameLimit = 63;

/** What is needed of a request. */
export type Attempt = Pick<IncomingMessage, 'headers'> & {
  socket: Pick<IncomingMessage['socket'], 'remoteAddress'>;
};

/** Failures of one kind: for each address or name, when (ms, monotonic) its whole quota is available again. */
class Failures {
  readonly #interval: number;
  readonly #span: number;
  readonly #full = new LRUCache<string, number>({ max: entryLimit });

  constructor(quota: number, window: number) {
    this.#span = window * 1000;
    this.#interval = quota === 0 ? 0 : this.#span / quota;
  }

  /** Ms until another failure is allowed; 0: now. */
  wait(key: string | undefined, now: number): number {
    const full = key === undefined ? undefined : this.#full.get(key);
    return full === undefined ? 0 : Math.max(0, full + this.#interval - this.#span - now);
  }

  /** Counts a failure; returns when the quota is whole again. */
  count(key: string | undefined, now: number): number {
    if (key === undefined || this.#interval === 0) return 0;
    const full = Math.max(this.#full.get(key) ?? 0, now) + this.#interval;
    this.#full.set(key, full);
    return full;
  }
}

export class FailureLimit {
  readonly #addresses: Failures;
  readonly #names: Failures;
  readonly #proven = new LRUCache<string, true>({ max: entryLimit });
  /** Until then, some quota is not whole. */
  #busyUntil = 0;
  readonly #trusts: FailureLimitOptions['trusts'];
  readonly #credentialIn: (cookie: string) => string | undefined;

  constructor({
    failuresPerAddress,
    failuresPerName,
    window,
    trusts,
    credentialIn = (cookie) => cookie,
  }: FailureLimitOptions) {
    this.#trusts = trusts;
    this.#credentialIn = credentialIn;
    this.#addresses = new Failures(failuresPerAddress, window);
    this.#names = new Failures(failuresPerName, window);
  }

  /** Throws 429 if the credential must not be looked up now. Without recent failures it does not even read the clock. */
  admit(attempt: Attempt): void {
    if (this.#busyUntil === 0) return;
    const now = performance.now();
    if (now >= this.#busyUntil) {
      this.#busyUntil = 0;
      return;
    }
    const wait = Math.max(
      this.#addresses.wait(addressOf(attempt, this.#trusts), now),
      this.#names.wait(nameIn(attempt), now),
    );
    if (wait === 0) return;
    const credential = this.#fingerprint(attempt);
    if (credential === undefined || this.#proven.has(credential)) return;
    throw new ApiError('rate_limited', 'Too many attempts to authenticate have failed.', {
      reason: 'too many failures',
      headers: { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1000))) },
    });
  }

  /** Counts the failure, if the error is one. */
  failed(attempt: Attempt, error: unknown): void {
    if (!(error instanceof ApiError) || error.code !== 'unauthorized') return;
    const credential = this.#fingerprint(attempt);
    if (credential === undefined) return;
    this.#proven.delete(credential);
    const now = performance.now();
    const until = [
      this.#addresses.count(addressOf(attempt, this.#trusts), now),
      this.#names.count(nameIn(attempt), now),
    ];
    this.#busyUntil = Math.max(this.#busyUntil, ...until);
  }

  /** Follows a look-up to its end. */
  watch<U>(attempt: Attempt, looking: Promise<U | undefined>): Promise<U | undefined> {
    return looking.then(
      (found) => {
        const credential = found === undefined ? undefined : this.#fingerprint(attempt);
        if (credential !== undefined) this.#proven.set(credential, true);
        return found;
      },
      (error: unknown) => {
        this.failed(attempt, error);
        throw error;
      },
    );
  }

  /** The credential of a request, as a hash; undefined if there is none. */
  #fingerprint({ headers }: Attempt): string | undefined {
    const { authorization } = headers;
    const key = headers['api-key'];
    // Other cookies may change with every request.
    const cookie = headers.cookie === undefined ? undefined : this.#credentialIn(headers.cookie);
    if (authorization === undefined && key === undefined && cookie === undefined) return undefined;
    const parts = [authorization, key, key === undefined ? undefined : headers['api-user'], cookie];
    return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
  }
}

/** The name that the caller claims, if a user can have it. */
function nameIn({ headers }: Attempt): string | undefined {
  const name = headers['api-user'] ?? basicName(headers.authorization);
  return typeof name === 'string' && name.length <= nameLimit ? name : undefined;
}

/** The name in `Authorization: Basic`, with which a session may begin. */
function basicName(authorization = ''): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/]+=*)/i.exec(authorization)?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString().split(':')[0];
}

/**
 * The address of the client, or of IPv6 the network of 64 bits, since whoever has one address there has all of them.
 * Proxies that are trusted say whom they forward, each at the end of the list; what others say is not believed.
 */
export function addressOf(
  { socket, headers }: Attempt,
  trusts?: FailureLimitOptions['trusts'],
): string | undefined {
  let address = plain(socket.remoteAddress);
  if (trusts !== undefined) {
    const said = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
    for (let hop = said.pop(); hop !== undefined && trusts(address ?? ''); hop = said.pop()) {
      const next = plain(withoutPort(hop.trim()));
      if (next === undefined || isIP(next) === 0) break;
      address = next;
    }
  }
  return networkOf(address);
}

/** Some proxies add the port. */
function withoutPort(hop: string): string {
  return /^(\d+(?:\.\d+){3}):\d+$/.exec(hop)?.[1] ?? hop.replace(/^\[(.*)\](?::\d+)?$/, '$1');
}

/** IPv4 as such, and without the zone. */
function plain(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}

function networkOf(address: string | undefined): string | undefined {
  if (address?.includes(':') !== true) return address;
  const [head = '', tail] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail ?? '')];
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
