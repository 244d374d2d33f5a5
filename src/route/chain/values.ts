/** The values of a query or a form by their names, as the types that a handler wants. */
import { ApiError } from '../../model/error.js';

const truths: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((one) => [one, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((one) => [one, false] as const),
]);

const milliseconds: Readonly<Record<string, number>> = {
  ...{ ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 },
};

const durationPattern = /^([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;
const timePattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/;

function boolIn(text: string): boolean | undefined {
  return Object.hasOwn(truths, text) ? truths[text] : undefined;
}

function intIn(text: string): number | undefined {
  const value = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

function floatIn(text: string): number | undefined {
  const value = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?$/.test(text) ? Number(text) : NaN;
  return Number.isFinite(value) ? value : undefined;
}

/** `1h30m`, `-1.5h` and `0`, in milliseconds. */
function durationIn(text: string): number | undefined {
  if (text === '0') return 0;
  const [, sign, parts = ''] = durationPattern.exec(text) ?? [];
  if (sign === undefined) return undefined;
  let sum = 0;
  for (const [, amount, unit = ''] of parts.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g))
    sum += Number(amount) * (milliseconds[unit] ?? NaN);
  return Number.isFinite(sum) ? (sign === '-' ? -sum : sum) : undefined;
}

/** RFC 3339, or a date alone. No day is moved to the next month. */
function timeIn(text: string): Date | undefined {
  const [, year, month, day] = timePattern.exec(text) ?? [];
  if (year === undefined) return undefined;
  const last = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  const time = new Date(text);
  return Number(day) < 1 || Number(day) > last || Number.isNaN(time.getTime()) ? undefined : time;
}

/** Reads a time in a layout of the caller's own. */
export type TimeLayout = (text: string) => Date | undefined;

/** The strict getters: what is absent or unreadable is the client's mistake. */
export interface RequiredValues {
  string(key: string): string;
  bool(key: string): boolean;
  int(key: string): number;
  float(key: string): number;
  time(key: string, layout?: TimeLayout): Date;
  duration(key: string): number;
}

/** The first value of a key counts; an empty one counts as absent. Each getter has its default for what is unreadable. */
export class Values {
  readonly raw: URLSearchParams;

  constructor(raw: URLSearchParams) {
    this.raw = raw;
  }

  has(key: string): boolean {
    return this.raw.has(key);
  }

  all(key: string): string[] {
    return this.raw.getAll(key);
  }

  string(key: string, otherwise: string): string {
    return this.#get(key, (text) => text) ?? otherwise;
  }

  bool(key: string, otherwise: boolean): boolean {
    return this.#get(key, boolIn) ?? otherwise;
  }

  int(key: string, otherwise: number): number {
    return this.#get(key, intIn) ?? otherwise;
  }

  float(key: string, otherwise: number): number {
    return this.#get(key, floatIn) ?? otherwise;
  }

  time(key: string, otherwise: Date, layout: TimeLayout = timeIn): Date {
    return this.#get(key, layout) ?? otherwise;
  }

  /** In milliseconds. */
  duration(key: string, otherwise: number): number {
    return this.#get(key, durationIn) ?? otherwise;
  }

  get require(): RequiredValues {
    const must = <T>(key: string, read: (text: string) => T | undefined, what: string): T => {
      const value = this.#get(key, read);
      if (value !== undefined) return value;
      const message = `Expected ${what}.`;
      throw new ApiError('invalid_parameter', `${key}: ${message}`, {
        errors: [{ parameter: key, message }],
      });
    };
    return {
      string: (key) => must(key, (text) => text, 'a text'),
      bool: (key) => must(key, boolIn, 'true or false'),
      int: (key) => must(key, intIn, 'an integer'),
      float: (key) => must(key, floatIn, 'a number'),
      time: (key, layout = timeIn) => must(key, layout, 'a time such as 2026-01-31T12:00:00Z'),
      duration: (key) => must(key, durationIn, 'a duration such as 1h30m'),
    };
  }

  #get<T>(key: string, read: (text: string) => T | undefined): T | undefined {
    const text = this.raw.get(key) ?? '';
    return text === '' ? undefined : read(text);
  }
}
