/**
 * Reads Link headers (RFC 8288) as real servers send them. parse-link-header does the parsing; this module normalises
 * the links to the form that it handles reliably: it treats relation names as case-sensitive, fails on spaces before
 * "<" and on links without a separating comma, and returns null for anything beyond 2000 characters, which would end a
 * walk early.
 */
import parseLinkHeader from 'parse-link-header';

/** One link after the other: the target, and the text of its parameters up to the next link. */
const linkPattern = /<([^<>]*)>((?:[^<>"]|"(?:[^"\\]|\\.)*")*)/g;

/** One parameter: its name, and its value quoted or bare. Quoted values are taken as a whole, whatever they contain. */
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
    // The target is left out: the library does not need it for what is used here, and limits its length.
    for (const relation of Object.keys(parseLinkHeader(`<target>; rel="${relations}"`) ?? {})) {
      if (!targets.has(relation)) targets.set(relation, target.trim());
    }
  }
  return targets;
}
