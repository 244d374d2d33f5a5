/** A page in a browser, which calls the API with the cookie of a session. */
import { expect } from 'chai';
import { Api, type Reply } from './conform.js';

/** What browsers say of a request from a page of the same origin. */
export const fromPage = { 'Sec-Fetch-Site': 'same-origin' };

/** The cookie that a response sets, as NAME=VALUE. */
export function cookieOf({ headers }: Pick<Reply, 'headers'>): string {
  return headers.get('set-cookie')?.split(';')[0] ?? expect.fail('no cookie');
}

export function page(url: string, cookie: string, headers: Record<string, string> = fromPage): Api {
  return new Api(url, { Cookie: cookie, ...headers });
}

/** A page after the sign-in of this caller. */
export async function signedInPage(caller: Api): Promise<Api> {
  return page(caller.url, cookieOf(await caller.post('/api/v2/signin')));
}
