/**
 * The metadata URL of a resource according to RFC 9728 section 3.1: `.well-known` comes before the resource's own path.
 */
export function wellKnownUrl(publicUrl: string, name: string): string {
  return publicUrl.replace(/^(https?:\/\/[^/]+)(.*)$/, `$1/.well-known/${name}$2`);
}
