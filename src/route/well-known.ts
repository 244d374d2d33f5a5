/**
 * Who issues tokens for this server (RFC 9728). The same document is served at the registered path and at the one that
 * Unikorn's clients use. All of it comes from the configuration, none from the Host header.
 *
 * For `https://host/copse` the metadata belongs at `https://host/.well-known/oauth-protected-resource/copse`, which is
 * not below `/copse`: a proxy passes that path on unchanged, so it is served too.
 */
import { Type } from 'typebox';
import { defineHandler } from './route.js';

const ProtectedResource = Type.Object(
  {
    resource: Type.String({ format: 'uri', description: 'Base URL of the API.' }),
    resource_name: Type.String(),
    resource_documentation: Type.String({ format: 'uri' }),
    authorization_servers: Type.Optional(Type.Array(Type.String({ format: 'uri' }))),
    scopes_supported: Type.Optional(Type.Array(Type.String())),
    bearer_methods_supported: Type.Array(Type.String()),
  },
  { title: 'ProtectedResource', additionalProperties: false },
);

export interface ProtectedResourceOptions {
  publicUrl: () => string;
  authorizationServers: readonly string[];
  scopes: readonly string[];
}

/** GET /.well-known/oauth-protected-resource, and its other paths, each with an operation id of its own. */
export const getProtectedResource = (
  operationId: string,
  { publicUrl, authorizationServers, scopes }: ProtectedResourceOptions,
) =>
  defineHandler(
    {
      operationId,
      summary: 'OAuth protected resource metadata',
      tags: ['service'],
      responses: { 200: { description: 'The metadata.', schema: ProtectedResource } },
    },
    {
      parse: () => undefined,
      execute: () => ({
        result: {
          resource: publicUrl(),
          resource_name: 'Copse',
          resource_documentation: `${publicUrl()}/docs`,
          // RFC 9728 section 3.2: members without a value are omitted.
          ...(authorizationServers.length === 0 ? {} : { authorization_servers: authorizationServers }),
          ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
          bearer_methods_supported: ['header'],
        },
        metadata: { cacheControl: 'private, max-age=86400' },
      }),
    },
  );

/** An additional path of the document if the public URL has a path. */
export function pathsBelow(publicUrl: string, document: string): string[] {
  const path = URL.canParse(publicUrl) ? new URL(publicUrl).pathname.replace(/\/$/, '') : '';
  return path === '' ? [] : [document + path];
}
