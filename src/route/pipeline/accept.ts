/** Proactive negotiation by the Accept header (RFC 9110, section 12.5.1). */

/** A representation that can be sent. */
export interface Offer {
  readonly mediaType: string;
  /** The parameter that a client must name to get it: any range without it means another offer. */
  readonly parameter?: string;
}

interface Range {
  readonly type: string;
  readonly parameters: readonly string[];
  readonly quality: number;
}

/** The parts between commas; a quoted text may contain commas too. */
const parts = /(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+/g;
const typePattern = /^[\w!#$&^.+*-]+\/[\w!#$&^.+*-]+$/;
const qualityPattern = /^q\s*=\s*([01](?:\.\d{0,3})?)$/;

/** More ranges than any client needs. */
const rangeLimit = 100;

/** A range without a readable quality is dropped: nothing says how much the client wants it. */
function rangeOf(text: string): Range[] {
  const [type = '', ...rest] = text
    .toLowerCase()
    .split(';')
    .map((one) => one.trim());
  if (!typePattern.test(type)) return [];
  const weights = rest.filter((one) => /^q\s*=/.test(one));
  const quality = weights.length === 0 ? 1 : Number(qualityPattern.exec(weights[0] ?? '')?.[1] ?? NaN);
  if (!(quality <= 1)) return [];
  const parameters = rest.filter((one) => !weights.includes(one)).map((one) => one.replaceAll(/[\s"]/g, ''));
  return [{ type, parameters, quality }];
}

/** How precisely the range means the offer; undefined: it does not. Unknown parameters make no difference. */
function precision({ type, parameters }: Range, { mediaType, parameter }: Offer, known: readonly string[]) {
  const asked = parameters.find((one) => known.includes(one));
  if (asked !== undefined) return asked === parameter && type === mediaType ? 3 : undefined;
  if (parameter !== undefined) return undefined;
  if (type === mediaType) return 2;
  if (type === '*/*') return 0;
  return type.endsWith('/*') && mediaType.startsWith(type.slice(0, -1)) ? 1 : undefined;
}

/**
 * The offer that the client wants most; undefined if it wants none. Its most precise range decides how much it wants an
 * offer. Of equally wanted ones, the more precisely named wins, then the one named first, then the first one offered.
 * A header in which nothing is readable counts as absent.
 */
export function preferred<O extends Offer>(header: string, offers: readonly O[]): O | undefined {
  const ranges = (header.match(parts) ?? []).slice(0, rangeLimit).flatMap(rangeOf);
  if (ranges.length === 0) return offers[0];
  const known = offers.flatMap(({ parameter }) => (parameter === undefined ? [] : [parameter]));
  let best: { offer: O; quality: number; precise: number; place: number } | undefined;
  for (const offer of offers) {
    let found: { quality: number; precise: number; place: number } | undefined;
    for (const [place, range] of ranges.entries()) {
      const precise = precision(range, offer, known);
      if (precise !== undefined && precise > (found?.precise ?? -1))
        found = { quality: range.quality, precise, place };
    }
    if (found === undefined || found.quality === 0) continue;
    if (best === undefined || isBetter(found, best)) best = { offer, ...found };
  }
  return best?.offer;
}

interface Rank {
  quality: number;
  precise: number;
  place: number;
}

function isBetter(one: Rank, other: Rank): boolean {
  if (one.quality !== other.quality) return one.quality > other.quality;
  if (one.precise !== other.precise) return one.precise > other.precise;
  return one.place < other.place;
}
