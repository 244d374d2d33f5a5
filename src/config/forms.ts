/** Formats of option values: how each is parsed, what it accepts, and what is wrong with a value. */
import { isIP } from 'node:net';
import { isRange } from '../model/public-address.js';

export interface Form {
  /** Completes "must …". */
  accepts: string;
  /** The normalised value. Throws with the reason if it is invalid. Not called for the empty string. */
  read: (text: string) => string;
}

class Wrong extends Error {
  override readonly name = 'Wrong';
}

const label = /^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?$/i;

function isHostName(host: string): boolean {
  const labels = host.replace(/\.$/, '').split('.');
  return host.length <= 253 && labels.every((one) => label.test(one));
}

/** The part that makes a URL invalid. */
function reasonOf(text: string): string {
  const [, port] = /^https?:\/\/(?:\[[^\]]*\]|[^:/?#]*):([^/?#]*)/i.exec(text) ?? [];
  if (port !== undefined && !(/^\d*$/.test(port) && Number(port) <= 65_535))
    return 'its port is not between 0 and 65535';
  return 'its host is not valid';
}

function urlOf(text: string): URL {
  // Node would silently remove some of these.
  if (/[\s\p{Cc}\\<>"{}|^`]/u.test(text))
    throw new Wrong('it contains a space or a character that is not allowed in a URL');
  if (!/^https?:\/\/[^/?#]/i.test(text))
    throw new Wrong('it does not start with http://HOST or https://HOST');
  if (/^[^/]*\/\/[^/?#]*@/.test(text)) throw new Wrong('it contains a user name or a password');
  if (!URL.canParse(text)) throw new Wrong(reasonOf(text));
  const url = new URL(text);
  // Other names are now in Punycode, as headers require.
  if (!url.hostname.startsWith('[') && !isHostName(url.hostname)) throw new Wrong('its host is not valid');
  if (text.includes('#')) throw new Wrong('it has a fragment');
  return url;
}

function withoutQuery(text: string): URL {
  const url = urlOf(text);
  if (text.includes('?')) throw new Wrong('it has a query');
  return url;
}

/** Its path becomes part of a route (src/route/well-known.ts). */
function baseUrl(text: string): string {
  const { href, pathname } = withoutQuery(text);
  if (!/^(\/[A-Za-z0-9._~-]+)*\/*$/.test(pathname))
    throw new Wrong('its path contains characters other than letters, digits, ".", "_", "~" and "-"');
  return href.replace(/\/+$/, '');
}

function listenHost(text: string): string {
  if (isIP(text) !== 0) return text;
  if (/^\[.*\]$/.test(text)) throw new Wrong('an IPv6 address must be written without brackets');
  if (/[:/]/.test(text)) throw new Wrong('it must not contain a scheme, port or path');
  if (!isHostName(text) || /(^|\.)\d+\.?$/.test(text))
    throw new Wrong('it is neither an IP address nor a host name');
  return text;
}

function path(text: string): string {
  if (text.includes('\0')) throw new Wrong('it contains a NUL character');
  if (Buffer.byteLength(text) > 4095) throw new Wrong('it is longer than 4095 bytes');
  return text;
}

/** By the `format` of the schema. */
export const forms = {
  'base-url': {
    accepts: 'be empty or a URL https?://HOST[:PORT][/PATH], without user name, password, query or fragment',
    read: baseUrl,
  },
  'endpoint-url': {
    accepts: 'be empty or a URL https?://HOST[:PORT]/PATH, without user name, password or fragment',
    read: (text) => urlOf(text).href,
  },
  // Issuers are compared character by character.
  'issuer-url': {
    accepts: 'be a URL https?://HOST[:PORT][/PATH], without user name, password, query or fragment',
    read: (text) => {
      const { href } = withoutQuery(text);
      return /^[\x21-\x7e]+$/.test(text) ? text : href;
    },
  },
  origin: {
    accepts: 'be an origin https?://HOST[:PORT], without path or "*"',
    read: (text) => {
      const url = withoutQuery(text);
      if (/^https?:\/\/[^/]+\//i.test(text)) throw new Wrong('it has a path');
      return url.origin;
    },
  },
  'listen-host': {
    accepts: 'be an IP address or a host name of this machine',
    read: listenHost,
  },
  'address-range': {
    accepts: 'be an IP address, or a range of addresses such as 10.0.0.0/8 or fd00::/8',
    read: (text) => {
      if (!isRange(text)) throw new Wrong('it is neither');
      return text;
    },
  },
  path: { accepts: 'be a path', read: path },
} satisfies Record<string, Form>;

export type FormName = keyof typeof forms;

export function formOf(name: unknown): Form | undefined {
  return Object.hasOwn(forms, String(name)) ? forms[name as FormName] : undefined;
}

/** What is wrong with the text, or undefined. */
export function faultIn(form: Form, text: string): string | undefined {
  if (text === '') return undefined;
  try {
    form.read(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
