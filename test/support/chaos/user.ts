/** A user who does random things to machines of his own, and repeats what got no clear answer until it has one. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from '../../../src/model/instance.js';
import { parsePaginationHeader } from '../../../src/route/pipeline/pagination.js';
import { adminKey, type Offer } from '../process.js';
import type { Model, Verb, Wish } from './model.js';

/** Machines that one user has at most. */
const fleet = 8;

interface Answer {
  status: number;
  code: string;
  location: string | undefined;
  link: string | null;
  body: unknown;
}

export class User {
  readonly #name: string;
  readonly #urls: () => string[];
  readonly #model: Model;
  readonly #offer: Offer;
  readonly #random: () => number;
  readonly #mine: Wish[] = [];
  #made = 0;

  constructor(name: string, urls: () => string[], model: Model, offer: Offer, random: () => number) {
    this.#name = name;
    this.#urls = urls;
    this.#model = model;
    this.#offer = offer;
    this.#random = random;
  }

  /** Acts until the signal; ends with a clear answer to what it did last. */
  async live(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#act();
      this.#model.count('actions');
      await sleep(this.#random() * 30);
    }
  }

  async #act(): Promise<void> {
    const living = this.#mine.filter((wish) => !wish.deleted);
    const wish = living[Math.floor(this.#random() * living.length)];
    const dice = this.#random();
    if (wish === undefined || (living.length < fleet && dice < 0.25)) return this.#create();
    if (dice < 0.3) return this.#list(living);
    if (dice < 0.45) return this.#delete(wish);
    if (dice < 0.6) return this.#describe(wish);
    const verbs = ['start', 'stop', 'reboot'] as const;
    return this.#power(wish, verbs[Math.floor(this.#random() * verbs.length)] ?? 'start');
  }

  async #create(): Promise<void> {
    this.#made += 1;
    const name = `${this.#name}-${this.#made}`;
    const body = { metadata: { name, description: 'new' }, spec: this.#offer };
    const answer = await this.#insist('POST', '/api/v2/instances', body);
    if (answer.status !== 201) throw new Error(`create of ${name}: ${answer.status} ${answer.code}`);
    const { metadata, status } = answer.body as Instance;
    const wish: Wish = {
      id: metadata.id,
      name,
      power: 'running',
      description: 'new',
      deleted: false,
      work: [],
    };
    this.#model.wishes.set(wish.id, wish);
    this.#mine.push(wish);
    this.#model.accept(wish, 'create', status.taskId ?? '');
  }

  async #power(wish: Wish, verb: Verb): Promise<void> {
    const answer = await this.#insist('POST', `/api/v2/instances/${wish.id}/${verb}`);
    if (answer.status === 202) this.#model.accept(wish, verb, taskOf(answer));
    else if (answer.status !== 409)
      throw new Error(`${verb} of ${wish.name}: ${answer.status} ${answer.code}`);
  }

  async #delete(wish: Wish): Promise<void> {
    const answer = await this.#insist('DELETE', `/api/v2/instances/${wish.id}`);
    if (answer.status === 202) this.#model.accept(wish, 'delete', taskOf(answer));
    // An earlier try got through, and all is done already.
    else if (answer.status === 404) this.#model.accept(wish, 'delete', undefined);
    else throw new Error(`delete of ${wish.name}: ${answer.status} ${answer.code}`);
  }

  async #describe(wish: Wish): Promise<void> {
    const description = randomUUID();
    const { flavorId, imageId } = this.#offer;
    const body = { metadata: { name: wish.name, description }, spec: { flavorId, imageId } };
    const answer = await this.#insist('PUT', `/api/v2/instances/${wish.id}`, body);
    if (answer.status !== 202) throw new Error(`update of ${wish.name}: ${answer.status} ${answer.code}`);
    wish.description = description;
  }

  /** Every machine that this user has now is in the list, once. */
  async #list(living: readonly Wish[]): Promise<void> {
    const seen: string[] = [];
    for (let next: string | undefined = '/api/v2/instances?limit=7'; next !== undefined;) {
      const answer: Answer = await this.#insist('GET', next);
      if (answer.status !== 200) throw new Error(`list: ${answer.status} ${answer.code}`);
      seen.push(...(answer.body as Instance[]).map(({ metadata }) => metadata.id));
      const url: string | undefined = parsePaginationHeader(answer.link).next?.url;
      next = url === undefined ? undefined : new URL(url).pathname + new URL(url).search;
    }
    if (new Set(seen).size !== seen.length) throw new Error('a walk showed an instance twice');
    for (const { id, name } of living) {
      if (!seen.includes(id)) throw new Error(`a walk missed ${name}`);
    }
  }

  /** Repeats the call, each time to another process, until the answer says what became of it. */
  async #insist(method: string, path: string, body?: unknown): Promise<Answer> {
    const key = method === 'POST' ? { 'Idempotency-Key': randomUUID() } : {};
    for (;;) {
      const answer = await this.#call(method, path, key, body);
      const unclear =
        answer === undefined ||
        answer.status >= 500 ||
        answer.status === 408 ||
        ['conflict', 'idempotency_in_progress'].includes(answer.code);
      this.#model.count(answer === undefined ? 'no answer' : `${method} ${answer.status} ${answer.code}`);
      if (!unclear) return answer;
      await sleep(30 + this.#random() * 100);
    }
  }

  async #call(
    method: string,
    path: string,
    key: Record<string, string>,
    body: unknown,
  ): Promise<Answer | undefined> {
    const urls = this.#urls();
    const url = urls[Math.floor(this.#random() * urls.length)];
    if (url === undefined) return undefined;
    try {
      const response = await fetch(url + path, {
        method,
        headers: {
          Authorization: `Bearer ${adminKey}`,
          ...key,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(4000),
      });
      const text = await response.text();
      return {
        status: response.status,
        code: response.headers.get('x-error-code') ?? '',
        location: response.headers.get('location') ?? undefined,
        link: response.headers.get('link'),
        body: text === '' ? undefined : (JSON.parse(text) as unknown),
      };
    } catch {
      return undefined;
    }
  }
}

function taskOf({ location }: Answer): string {
  const id = location?.split('/').at(-1);
  if (id === undefined) throw new Error('an accepted request has no task');
  return id;
}
