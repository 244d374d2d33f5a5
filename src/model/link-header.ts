/**
 * Reads Link headers (RFC 8288) as real servers send them. parse-link-header does the reading; this brings the links
 * into the one form that it reads surely: it takes relation names by letter case, stumbles over spaces before "<" and
 * over links that no comma separates, and answers null to anything beyond 2000 characters, which would end a walk early.
 */
import parseLinkHeader from 'parse-link-header';

/** One link after the other: the target, and the text of its parameters up to the next link. */
const linkPattern = /<([^<>]*)>((?:[^<>"]|"(?:[^"\\]|\\.)*")*)/g;

/** One parameter: its name, and its value quoted or bare. Quoted values are taken whole, whatever they contain. */
const parameterPattern = /;\s*([^\s;,="]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/g;

/** The relations of a link; of several `rel` parameters the first counts (section 3.3). */
function relationsOf(parameters: string): string {
  for (const [, name = '', quoted, bare] of parameters.matchAll(parameterPattern)) {
    if (name.toLowerCase() === 'rel') return (quoted ?? bare ?? '').trim().toLowerCase();
  }
  return '';
}

/** Targets by relation name in lower case. Of several links with one relation the first counts. */
export function linksOf(header: string | readonly string[] | null | undefined): Map<string, string> {
  const text = typeof header === 'string' ? header : (header ?? []).join(', ');
  const targets = new Map<string, string>();
  for (const [, target = '', parameters = ''] of text.matchAll(linkPattern)) {
    const relations = relationsOf(parameters);
    if (relations === '') continue;
    // The target stays behind: the library needs it for nothing that is used here, and its length is limited.
    for (const relation of Object.keys(parseLinkHeader(`<target>; rel="${relations}"`) ?? {})) {
      if (!targets.has(relation)) targets.set(relation, target.trim());
    }
  }
  return targets;
}
