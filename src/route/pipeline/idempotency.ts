/**
 * Idempotency-Key on POST (draft-ietf-httpapi-idempotency-key-header): the port to the storage of responses, and its
 * use.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'koa';
import { ApiError, toApiError } from '../../model/error.js';
import type { RequestLifetime } from './request-lifetime.js';
import { type Answer, StreamBody } from './response.js';

/** The response stored under an Idempotency-Key: text only. */
export type StoredResponse = Omit<Answer, 'body'> & { body?: string };

export interface Claim {
  /** The response, if the work was done before. */
  readonly answer: StoredResponse | undefined;
  /** Writes that store the response, for the batch of the effect. */
  writes(answer: StoredResponse): unknown[];
  /** Both resolve even if the store is unavailable: then it is done later, in the background. */
  finish(answer: StoredResponse, afterFailure?: boolean): Promise<void>;
  release(): Promise<void>;
  /** What a failure of the work means if the claim was lost in the meantime. */
  explain?(error: unknown): unknown;
}

export interface IdempotencyKeeper {
  begin(
    request: {
      userId: string;
      key: string;
      operation: string;
      content: string;
      formerContent?: () => string;
    },
    signal?: AbortSignal,
  ): Promise<Claim>;
}

/** The key, quoted as in the draft (RFC 9651 String) or bare as many clients send it; undefined without one. */
export function idempotencyKeyOf(ctx: Context): string | undefined {
  const header = ctx.req.headers['idempotency-key'];
  if (header === undefined) return undefined;
  const [, quoted, bare] =
    /^(?:"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255}))$/.exec(String(header)) ?? [];
  const key = quoted ?? bare;
  if (key !== undefined) return key;
  throw new ApiError(
    'invalid_parameter',
    'Idempotency-Key must be 1 to 255 printable ASCII characters, preferably a UUID in quotes.',
    {
      errors: [
        {
          parameter: 'Idempotency-Key',
          message: 'Example: Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324"',
        },
      ],
    },
  );
}

/** The claim, unless the request ends first. A claim that arrives later is released: its work will not be done. */
export async function claimed(lifetime: RequestLifetime, beginning: Promise<Claim>): Promise<Claim> {
  try {
    return await lifetime.race(beginning);
  } catch (error) {
    const giveUp = async () => {
      const claim = await beginning;
      if (claim.answer === undefined) await claim.release();
    };
    void giveUp().catch(() => undefined);
    throw error;
  }
}

/** How long a refusal waits for the release of its key, so that a repeat finds it released. */
const releaseTimeoutMs = 1000;

/**
 * Does the work once: stores its response, including a lasting refusal, and releases the key if nothing was done.
 * `answerError` renders a refusal as it would be sent. A hanging store does not delay the response.
 */
export async function once(
  lifetime: RequestLifetime,
  claim: Claim,
  work: () => Promise<Answer>,
  answerError: (error: ApiError) => StoredResponse,
): Promise<Answer> {
  if (claim.answer !== undefined) {
    return { ...claim.answer, headers: { ...claim.answer.headers, 'Idempotency-Replayed': 'true' } };
  }
  let answer: Answer;
  let stored: StoredResponse;
  try {
    answer = await work();
    stored = storedResponse(answer);
  } catch (thrown) {
    const failure = claim.explain?.(thrown) ?? thrown;
    const error = toApiError(failure);
    const refusal = error.lasting ? rendered(() => answerError(error)) : undefined;
    if (refusal !== undefined) await lifetime.race(claim.finish(refusal, true));
    else await Promise.race([claim.release(), sleep(releaseTimeoutMs, undefined, { ref: false })]);
    throw failure;
  }
  await lifetime.race(claim.finish(stored));
  return answer;
}

/** Undefined for a refusal that cannot be sent: that is a bug, and nothing to store. */
function rendered(render: () => StoredResponse): StoredResponse | undefined {
  try {
    return render();
  } catch {
    return undefined;
  }
}

/**
 * The same text for equivalent input: the order of members, the spelling of numbers and strings, whitespace and
 * defaults make no difference; the order of a list does.
 */
export function meaningOf(
  value: object,
  defaults: Readonly<Record<string, { default?: unknown }>> = {},
): string {
  const told = Object.entries(value).filter(
    ([name, member]) => member !== (Object.hasOwn(defaults, name) ? defaults[name]?.default : undefined),
  );
  return JSON.stringify(Object.fromEntries(told), (_name, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member) ? inOrder(member) : member,
  );
}

function inOrder(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}

export function storedResponse({ status, headers, body }: Answer): StoredResponse {
  if (body instanceof StreamBody) throw new Error('A stream cannot be stored for a repeat of the request.');
  return body === undefined ? { status, headers } : { status, headers, body: body.toString() };
}
