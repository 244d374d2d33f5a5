/** Repeats of requests that may succeed later. */
import { CallError } from './call-error.js';
import { pause as sleep } from './pause.js';

/** Milliseconds before the first repeat, and the most between two. */
const firstPause = 250;
const longestPause = 20_000;

/** No response arrived: the server is not reachable, or the connection broke. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Of the system, such as ECONNREFUSED. */
  readonly code: string | undefined;

  constructor(url: string, cause: unknown) {
    const code = systemCode(cause);
    super(`No response from ${url}: ${reasons[code ?? ''] ?? code ?? deepest(cause)}.`, { cause });
    this.code = code;
  }
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the host is unknown',
  EAI_AGAIN: 'the name of the host cannot be looked up at the moment',
  ECONNRESET: 'the connection was reset',
  EHOSTUNREACH: 'the host is unreachable',
  ETIMEDOUT: 'the host did not answer in time',
  UND_ERR_SOCKET: 'the connection was closed',
};

function deepest(error: unknown): string {
  let text = 'the connection broke';
  for (let at = error; at instanceof Error; at = at.cause) text = at.message;
  return text;
}

function systemCode(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
  }
  return undefined;
}

/** Whether an error of fetch means that no complete response arrived. */
export function isBrokenConnection(error: unknown): boolean {
  return error instanceof TypeError && /fetch failed|terminated|network/i.test(error.message);
}

export interface Repeats {
  /** How many repeats there may be. */
  retries: number;
  /** Whether a repeat is safe although the first request may have been carried out. */
  repeatable: boolean;
  signal?: AbortSignal | undefined;
}

/** Carries the request out, again if it may succeed later; the pauses grow, with jitter, and honour Retry-After. */
export async function withRepeats<T>(
  send: () => Promise<T>,
  { retries, repeatable, signal }: Repeats,
): Promise<T> {
  for (let repeat = 0; ; repeat += 1) {
    try {
      return await send();
    } catch (error) {
      const pause = repeat < retries ? pauseAfter(error, repeat, repeatable) : undefined;
      if (pause === undefined) throw error;
      await sleep(pause, signal);
    }
  }
}

/** Milliseconds until the repeat; undefined: there is none. */
function pauseAfter(error: unknown, repeat: number, repeatable: boolean): number | undefined {
  const pause = Math.min(longestPause, firstPause * 2 ** repeat) * (0.5 + Math.random() / 2);
  if (error instanceof ConnectionError) {
    // Nothing was sent if nobody listens.
    return repeatable || error.code === 'ECONNREFUSED' ? pause : undefined;
  }
  if (!(error instanceof CallError) || !error.retryable || error.code === 'conflict') return undefined;
  if (!repeatable && error.status !== 429) return undefined;
  const told = error.retryAfter === undefined ? 0 : error.retryAfter * 1000;
  return told > longestPause ? undefined : Math.max(told, pause);
}
