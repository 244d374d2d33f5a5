/** Where RFC 9728 section 3.1 looks for what is known of a resource: `.well-known` stands before the resource's own path. */
export function wellKnownUrl(publicUrl: string, name: string): string {
  return publicUrl.replace(/^(https?:\/\/[^/]+)(.*)$/, `$1/.well-known/${name}$2`);
}
