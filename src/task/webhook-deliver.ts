/**
 * Sends what is due for one subscription. One task at a time works on a subscription, so that a receiver that does not
 * answer keeps only its own events waiting.
 */
import { Webhook } from 'standardwebhooks';
import type { Due, Outcome } from '../data/delivery.js';
import { signingSecrets, type SubscriptionRecord } from '../model/subscription.js';
import type { Sent } from '../model/webhook.js';
import { AddressRefused, type PublicClient } from '../platform/public-client.js';
import type { TaskCode } from './code.js';
import { siteCaller } from './site-caller.js';
import type { WebhookServices } from './webhook-services.js';

/** Concurrent requests to one receiver. */
const width = 4;
/** Deliveries that are read at a time. */
const pageSize = 20;
/** Ms after which a task ends, so that others get its slot; the next one continues. */
const turn = 30_000;
/** Failures in a row after which the receiver gets a pause. */
const failuresPerStep = 8;
const longestPause = 3_600_000;

export const webhookDeliver: TaskCode<'webhook.deliver'> = {
  type: 'webhook.deliver',
  run(work) {
    const { subject, services, signal } = work;
    if (services === undefined) throw new Error('This process sends no webhooks.');
    return work.step('deliver', () => new Sender(subject.id, services, signal).run());
  },
};

class Sender {
  readonly #id: string;
  readonly #services: WebhookServices;
  readonly #signal: AbortSignal;
  #failures = 0;
  #lastSuccess: number | undefined;

  constructor(id: string, services: WebhookServices, signal: AbortSignal) {
    this.#id = id;
    this.#services = services;
    this.#signal = signal;
  }

  async run(): Promise<Sent> {
    const client = this.#services.client();
    try {
      return await this.#run(client);
    } finally {
      await client.close();
    }
  }

  async #run(client: PublicClient): Promise<Sent> {
    const { data } = this.#services;
    const end = Date.now() + turn;
    const before = await data.webhook(this.#id, this.#signal);
    this.#failures = before?.value.failures ?? 0;
    this.#lastSuccess = before?.value.lastSuccess;
    for (;;) {
      // Before the deliveries: what becomes due later has another number.
      const sequence = (await data.webhook(this.#id, this.#signal))?.value.sequence ?? 0;
      const told = (due: number, pausedUntil?: number): Sent => ({
        ...{ due, sequence, pausedUntil },
        failures: this.#failures,
        lastSuccess: this.#lastSuccess,
      });
      const subscription = await data.active(this.#id, this.#signal);
      if (subscription === undefined) return told(0);
      const pending = await data.pending(this.#id, pageSize, this.#signal);
      const now = Date.now();
      const due = pending.filter(({ value }) => value.due <= now);
      if (due.length === 0) return told(pending[0]?.value.due ?? 0);
      await this.#sendAll(client, subscription, due);
      const pause = this.#pause();
      if (pause > 0) return told(Date.now() + pause, Date.now() + pause);
      if (Date.now() >= end) return told(Date.now());
    }
  }

  /** Ms for which a receiver that fails again and again is left alone: longer and longer, as after the attempts of one. */
  #pause(): number {
    const { retries } = this.#services;
    const step = Math.min(Math.floor(this.#failures / failuresPerStep), retries.length);
    return Math.min(retries[step - 1] ?? 0, longestPause);
  }

  async #sendAll(client: PublicClient, subscription: SubscriptionRecord, due: readonly Due[]): Promise<void> {
    const left = [...due];
    const work = async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift())
        await this.#send(client, subscription, next);
    };
    await Promise.all(Array.from({ length: width }, work));
  }

  async #send(client: PublicClient, subscription: SubscriptionRecord, delivery: Due): Promise<void> {
    const { data } = this.#services;
    if (await data.withdrawn(subscription, delivery)) return;
    const { id, value } = delivery;
    const at = new Date();
    let outcome: Outcome;
    try {
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'copse-webhooks',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': signingSecrets(subscription, at.getTime())
          .map((secret) => new Webhook(secret).sign(id, at, value.payload))
          .join(' '),
      };
      const { status, retryAfter } = await client.post(
        subscription.url,
        headers,
        value.payload,
        this.#signal,
      );
      outcome = this.#judged(delivery, status, retryAfter);
    } catch (error) {
      // The task ends; the attempt does not count.
      this.#signal.throwIfAborted();
      outcome = { succeeded: false, error: failureOf(error), retryAt: this.#retryAt(delivery, undefined) };
    }
    await data.attempted(delivery, outcome);
    if (outcome.succeeded) {
      this.#failures = 0;
      this.#lastSuccess = Date.now();
      return;
    }
    this.#failures += 1;
    await this.#disableAfter(delivery, outcome);
  }

  #judged(delivery: Due, statusCode: number, retryAfter: string | undefined): Outcome {
    if (statusCode >= 200 && statusCode < 300) return { succeeded: true, statusCode };
    const error =
      statusCode >= 300 && statusCode < 400
        ? `The receiver answered ${statusCode}; redirects are not followed.`
        : `The receiver answered ${statusCode}.`;
    const retryAt = statusCode === 410 ? undefined : this.#retryAt(delivery, retryAfter);
    return { succeeded: false, statusCode, error, retryAt };
  }

  /** After the pause of the schedule, up to a tenth more, or what the receiver asks for if it is longer. */
  #retryAt({ value }: Due, retryAfter: string | undefined): number | undefined {
    const done = value.attempts - (value.attemptBase ?? 0);
    const pause = this.#services.retries[done];
    if (pause === undefined) return undefined;
    return Math.ceil(Date.now() + Math.max(pause * (1 + Math.random() / 10), askedPause(retryAfter)));
  }

  /** Failure lasts if a delivery has used up its attempts, and nothing else has arrived since it was made. */
  async #disableAfter({ value }: Due, { statusCode, retryAt }: Outcome): Promise<void> {
    if (retryAt !== undefined) return;
    const since = Date.parse(value.creationTime);
    if (statusCode !== 410 && (this.#lastSuccess ?? 0) >= since) return;
    const reason =
      statusCode === 410
        ? 'The receiver answered 410: it wants no more.'
        : `A delivery failed ${value.attempts + 1} times, and no other has succeeded since.`;
    await this.#services.data.disable(siteCaller('webhooks', this.#signal), this.#id, reason);
  }
}

const day = 86_400_000;

/** Ms; of a Retry-After that makes no sense 0. */
function askedPause(retryAfter = ''): number {
  const asked = /^\d{1,9}$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - Date.now();
  return Number.isNaN(asked) ? 0 : Math.min(Math.max(asked, 0), day);
}

/** For the owner of the subscription. */
function failureOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause)
    if (at instanceof AddressRefused) return at.message;
  const { name = '', code = '' } = error as { name?: string; code?: string };
  if (name === 'TimeoutError' || /TIMEOUT|TIMEDOUT/.test(code)) return 'The receiver did not answer in time.';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'The name of the host cannot be resolved.';
  return `The connection failed${/^[A-Z_]{1,60}$/.test(code) ? ` (${code})` : ''}.`;
}
