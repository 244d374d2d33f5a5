/** Versions of an API in the header Version: short forms as in GoREST, precedence by SemVer 2.0.0 (section 11). */

const pattern =
  /^(0|[1-9]\d{0,8})(?:\.(0|[1-9]\d{0,8}))?(?:\.(0|[1-9]\d{0,8}))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$/;

export type Level = 'major' | 'minor' | 'patch' | 'pre-release' | 'all';

function compareIdentifiers(one: string, other: string): number {
  const [isNumber, isOtherNumber] = [/^\d+$/.test(one), /^\d+$/.test(other)];
  if (isNumber && isOtherNumber) return Math.sign(Number(one) - Number(other));
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
  return one === other ? 0 : one < other ? -1 : 1;
}

export class Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  readonly preRelease: readonly string[];
  readonly metadata: readonly string[];

  constructor(
    major: number,
    minor = 0,
    patch = 0,
    preRelease: readonly string[] = [],
    metadata: readonly string[] = [],
  ) {
    this.major = major;
    this.minor = minor;
    this.patch = patch;
    this.preRelease = preRelease;
    this.metadata = metadata;
  }

  /** `2`, `2.1` and `2.1.0-rc.1+build`; undefined for anything else. */
  static parse(text: string): Version | undefined {
    const found = pattern.exec(text);
    if (found === null) return undefined;
    const [, major, minor, patch, preRelease, metadata] = found as (string | undefined)[];
    const identifiers = preRelease?.split('.') ?? [];
    // SemVer, section 9: a number has no leading zeros.
    if (identifiers.some((one) => /^0\d+$/.test(one))) return undefined;
    return new Version(
      Number(major),
      Number(minor ?? 0),
      Number(patch ?? 0),
      identifiers,
      metadata?.split('.') ?? [],
    );
  }

  /** 1 if this is newer, -1 if it is older, and what decides it. Metadata does not count. */
  compare(other: Version): { order: -1 | 0 | 1; level: Level } {
    for (const level of ['major', 'minor', 'patch'] as const) {
      const order = Math.sign(this[level] - other[level]);
      if (order !== 0) return { order: order as -1 | 1, level };
    }
    const [ours, theirs] = [this.preRelease, other.preRelease];
    if ((ours.length === 0) !== (theirs.length === 0))
      return { order: ours.length === 0 ? 1 : -1, level: 'pre-release' };
    for (let at = 0; at < Math.min(ours.length, theirs.length); at++) {
      const order = compareIdentifiers(ours[at] ?? '', theirs[at] ?? '');
      if (order !== 0) return { order: order as -1 | 1, level: 'pre-release' };
    }
    const order = Math.sign(ours.length - theirs.length) as -1 | 0 | 1;
    return { order, level: order === 0 ? 'all' : 'pre-release' };
  }

  isOlderThan(other: Version): boolean {
    return this.compare(other).order < 0;
  }

  toString(): string {
    const { major, minor, patch, preRelease, metadata } = this;
    return `${major}.${minor}.${patch}${preRelease.length === 0 ? '' : `-${preRelease.join('.')}`}${metadata.length === 0 ? '' : `+${metadata.join('.')}`}`;
  }
}
