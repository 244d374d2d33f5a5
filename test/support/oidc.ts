/**
 * OpenID Connect issuers on this machine: a certified provider (oidc-provider), and one whose keys, documents and faults
 * the test decides.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  SignJWT,
} from 'jose';
import Provider from 'oidc-provider';

export const audience = 'https://copse.example';

async function listen(handler: () => RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => handler()(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

export interface RealProvider {
  issuer: string;
  /** An access token for Copse, by client_credentials. `groups`: what the provider says of the client. */
  token(client: string, groups?: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

/** A certified provider, which issues JWT access tokens (RFC 9068) for the audience (RFC 8707). */
export async function realProvider(): Promise<RealProvider> {
  let handler: RequestListener = () => undefined;
  const { server, url } = await listen(() => handler);
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const groupsOf = new Map<string, readonly string[]>();
  const provider = new Provider(url, {
    clients: ['robot', 'builder', 'stranger'].map((client_id) => ({
      client_id,
      client_secret: `${client_id}-secret`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'one', use: 'sig', alg: 'RS256' }] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: '',
          audience,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (_ctx, token) => {
      const client = 'clientId' in token ? String(token.clientId) : '';
      // The subject of client_credentials is the client itself (RFC 9068, section 2.2).
      return { sub: client, groups: groupsOf.get(client) ?? [] };
    },
  });
  const serve = provider.callback();
  handler = (request, response) => void serve(request, response);
  return {
    issuer: url,
    token: async (client, groups = []) => {
      groupsOf.set(client, groups);
      const response = await providerFetch(`${url}/token`, {
        method: 'POST',
        headers: {
          Authorization: `Basic ${Buffer.from(`${client}:${client}-secret`).toString('base64')}`,
          'Content-Type': 'application/x-www-form-urlencoded',
        },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }).toString(),
      });
      const { access_token: token } = JSON.parse(response) as { access_token?: string };
      if (token === undefined) throw new Error(`the provider refuses: ${response}`);
      return token;
    },
    close: () => close(server),
  };
}

/** The provider is not the server under test, so its responses are in no document of ours. */
async function providerFetch(url: string, init: RequestInit): Promise<string> {
  return (await globalThis.fetch(url, init)).text();
}

interface Key {
  kid: string;
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  jwk: JWK;
}

export async function newKey(kid: string, alg = 'RS256'): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

export type Claims = Record<string, unknown>;

/** An issuer that the test controls. */
export class TestIssuer {
  readonly url: string;
  readonly #server: Server;
  /** What it publishes. */
  published: Key[];
  /** What it signs with. */
  key: Key;
  /** Instead of its metadata. */
  metadata: unknown;
  /** Instead of the keys. */
  keys: object | undefined;
  /** Before each response; it may never resolve. */
  hold: () => Promise<void> = () => Promise.resolve();
  /** Instead of 200. */
  status = 200;
  /** Paths that were asked for. */
  readonly asked: string[] = [];

  private constructor(server: Server, url: string, key: Key) {
    this.#server = server;
    this.url = url;
    this.key = key;
    this.published = [key];
    this.metadata = { issuer: url, jwks_uri: `${url}/keys` };
  }

  static async start(): Promise<TestIssuer> {
    let handler: RequestListener = () => undefined;
    const { server, url } = await listen(() => handler);
    const issuer = new TestIssuer(server, url, await newKey('one'));
    handler = (request, response) => {
      const path = request.url ?? '';
      issuer.asked.push(path);
      void issuer.hold().then(() => {
        const keys = issuer.keys ?? { keys: issuer.published.map(({ jwk }) => jwk) };
        const body = path === '/keys' ? keys : issuer.metadata;
        response.writeHead(issuer.status, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify(body));
      });
    };
    return issuer;
  }

  /** A token that is right in all but what is given; null removes a claim. */
  token(claims: Claims = {}, header: Partial<JWTHeaderParameters> = {}, key = this.key): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const all: Claims = {
      ...{ iss: this.url, aud: audience, sub: 'somebody', iat: now, exp: now + 300 },
      ...claims,
    };
    const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
    return new SignJWT(kept)
      .setProtectedHeader({ alg: 'RS256', kid: key.kid, typ: 'at+jwt', ...header })
      .sign(key.privateKey);
  }

  close(): Promise<void> {
    return close(this.#server);
  }
}
