/** Calls of chains, which are not in the OpenAPI document. */
import { adminKey } from './server.js';

// eslint-disable-next-line no-restricted-globals -- a checked call would miss the chain in the document
export const plainFetch = fetch;

export const auth = { Authorization: `Bearer ${adminKey}` };

export interface ChainReply {
  status: number;
  headers: Headers;
  text: string;
  bytes: Buffer;
  body: Record<string, unknown>;
}

export async function askChain(url: string, init: RequestInit = {}): Promise<ChainReply> {
  const headers = { ...auth, ...(init.headers as Record<string, string>) };
  const response = await plainFetch(url, { ...init, headers });
  const bytes = Buffer.from(await response.arrayBuffer());
  const text = bytes.toString();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  const body = (isJson && text !== '' ? JSON.parse(text) : undefined) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, text, bytes, body };
}
