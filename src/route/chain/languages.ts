/** Accept-Language (RFC 9110, section 12.5.4), and the choice of a language by lookup (RFC 4647, section 3.4). */

export interface Language {
  locale: string;
  quality: number;
}

const entryPattern =
  /^\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.\d{0,3})?)\s*)?$/;

function entriesOf(header: string): Language[] {
  return header.split(',', 100).flatMap((entry) => {
    const [, locale, text = '1'] = entryPattern.exec(entry) ?? [];
    const quality = Number(text);
    return locale === undefined || quality > 1 ? [] : [{ locale, quality }];
  });
}

/** The accepted languages, the most wanted first. Malformed entries and those with quality 0 are left out. */
export function languagesOf(header = ''): Language[] {
  return entriesOf(header)
    .filter(({ quality }) => quality > 0)
    .sort((one, other) => other.quality - one.quality);
}

/** `en-GB-oed`, `en-GB`, `en`: a single letter or digit goes together with what follows it. */
function shorter(range: string): string {
  const parts = range.split('-').slice(0, -1);
  if (parts.at(-1)?.length === 1) parts.pop();
  return parts.join('-');
}

/** The available language that the client wants most; undefined if it wants none of them. */
export function languageFor(header: string | undefined, available: readonly string[]): string | undefined {
  const excluded = new Set(
    entriesOf(header ?? '')
      .filter(({ quality }) => quality === 0)
      .map(({ locale }) => locale.toLowerCase()),
  );
  const usable = available.filter((one) => !excluded.has(one.toLowerCase()));
  for (const { locale } of languagesOf(header)) {
    if (locale === '*') return usable[0];
    for (let range = locale.toLowerCase(); range !== ''; range = shorter(range)) {
      const found = usable.find((one) => one.toLowerCase() === range);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
