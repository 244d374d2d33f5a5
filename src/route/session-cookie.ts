/** The cookie of a session (RFC 6265), and what protects the requests that have it from other sites. */
import type { IncomingHttpHeaders } from 'node:http';

const plainName = 'copse_session';

/** With the prefix, browsers accept it only from this very host and over TLS: no other host of the domain can plant one. */
const hostName = `__Host-${plainName}`;

function nameFor(publicUrl: string): string {
  return publicUrl.startsWith('https:') ? hostName : plainName;
}

/** The field Set-Cookie. Strict: a page of another site cannot make a browser send it, not even by a link. */
export function sessionCookie(publicUrl: string, secret: string, maxAge: number): string {
  const name = nameFor(publicUrl);
  const secure = name === hostName ? '; Secure' : '';
  return `${name}=${secret}; Path=/; Max-Age=${maxAge}; HttpOnly; SameSite=Strict${secure}`;
}

/** Makes the browser forget it. */
export function noSessionCookie(publicUrl: string): string {
  return sessionCookie(publicUrl, '', 0);
}

/** The different values of the session's cookie in a request: more than one means that somebody has planted one. */
export function sessionSecrets(cookie: string, publicUrl: string): string[] {
  const name = nameFor(publicUrl);
  const values = cookie
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return [...new Set(values)];
}

/** Whether a page of this very origin has sent the request; undefined if nothing says so or the opposite. */
export function isFromSameOrigin(headers: IncomingHttpHeaders, publicUrl: string): boolean | undefined {
  // Only browsers can set it, and no page can change it (W3C Fetch Metadata).
  const site = headers['sec-fetch-site'];
  if (site === 'none') return undefined;
  if (site !== undefined) return site === 'same-origin';
  const { origin } = headers;
  return origin === undefined ? undefined : origin === new URL(publicUrl).origin;
}
