/**
 * A user that does random things to its own machines, and repeats any request without a clear response until there is
 * one.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from '../../../src/model/instance.js';
import type { Task } from '../../../src/model/task.js';
import { parsePaginationHeader } from '../../../src/route/pipeline/pagination.js';
import { checkedFetch, unlessBreach } from '../conform.js';
import { adminKey, type Offer } from '../process.js';
import type { Model, Verb, Wish, Work } from './model.js';

/** Maximum number of machines per user. */
const fleet = 8;

const day = 24 * 3_600_000;

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
  readonly #flavors: readonly string[];
  readonly #random: () => number;
  readonly #mine: Wish[] = [];
  #made = 0;

  /** `flavors`: ids of at least two; the offer includes one of them. */
  constructor(
    name: string,
    urls: () => string[],
    model: Model,
    { offer, flavors }: { offer: Offer; flavors: readonly string[] },
    random: () => number,
  ) {
    this.#name = name;
    this.#urls = urls;
    this.#model = model;
    this.#offer = offer;
    this.#flavors = flavors;
    this.#random = random;
  }

  /** Acts until the signal; ends with a clear response to the last request. */
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
    if (wish === undefined || (living.length < fleet && dice < 0.2)) return this.#create();
    if (dice < 0.24) return this.#list(living);
    if (dice < 0.34) return this.#delete(wish);
    if (dice < 0.44) return this.#describe(wish);
    if (dice < 0.5) return this.#prolong(wish);
    if (dice < 0.58) return this.#replace(wish);
    if (dice < 0.68) return this.#hurry(wish);
    if (dice < 0.76) return this.#abort(wish);
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
      flavorId: this.#offer.flavorId,
      description: 'new',
      expiresAt: undefined,
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
    else if (answer.status !== 409) throw refusal(`${verb} of ${wish.name}`, answer);
  }

  async #delete(wish: Wish): Promise<void> {
    const answer = await this.#insist('DELETE', `/api/v2/instances/${wish.id}`);
    if (answer.status === 202) this.#model.accept(wish, 'delete', taskOf(answer));
    // An earlier attempt got through, and everything is already done.
    else if (answer.status === 404) this.#model.accept(wish, 'delete', undefined);
    else throw refusal(`delete of ${wish.name}`, answer);
  }

  #put(wish: Wish, change: Partial<Wish>, query = ''): Promise<Answer> {
    const { name, description, flavorId, expiresAt } = { ...wish, ...change };
    const { imageId } = this.#offer;
    const spec = { flavorId, imageId, ...(expiresAt === undefined ? {} : { expiresAt }) };
    return this.#insist('PUT', `/api/v2/instances/${wish.id}${query}`, {
      metadata: { name, description },
      spec,
    });
  }

  async #describe(wish: Wish): Promise<void> {
    const description = randomUUID();
    const answer = await this.#put(wish, { description });
    if (answer.status !== 202) throw refusal(`update of ${wish.name}`, answer);
    wish.description = description;
  }

  /** Another flavor, for which the machine grows or, with a smaller disk, is created again. */
  async #replace(wish: Wish): Promise<void> {
    const flavorId = this.#flavors.find((id) => id !== wish.flavorId);
    if (flavorId === undefined) throw new Error('there is one flavor only');
    const answer = await this.#put(wish, { flavorId }, '?allowReplace=true');
    if (answer.status === 202) {
      wish.flavorId = flavorId;
      // Without the name of a task: an earlier attempt got through.
      this.#model.accept(wish, 'replace', answer.location?.split('/').at(-1));
    } else if (answer.status !== 409) throw refusal(`replace of ${wish.name}`, answer);
  }

  /** So far ahead that it never expires while the test runs; whatever clock the process has, a later time each time. */
  async #prolong(wish: Wish): Promise<void> {
    const before = wish.expiresAt === undefined ? Date.now() + 2 * day : Date.parse(wish.expiresAt);
    const expiresAt = new Date(before + 60_000).toISOString();
    const path = `/api/v2/instances/${wish.id}/extend_expiration`;
    const answer = await this.#insist('POST', path, { expiresAt });
    if (answer.status !== 200) throw refusal(`extension of ${wish.name}`, answer);
    wish.expiresAt = expiresAt;
  }

  /** Another priority for the last task, which may be held for a moment. */
  async #hurry(wish: Wish): Promise<void> {
    const task = wish.work.at(-1)?.task;
    if (task === undefined) return;
    const patches: object[] = [{ activated: true, priority: Math.floor(this.#random() * 100) }];
    if (this.#random() < 0.3) patches.unshift({ activated: false });
    for (const patch of patches) {
      const answer = await this.#insist('PATCH', `/api/v2/tasks/${task}`, patch);
      if (answer.status === 409) return;
      if (answer.status !== 200) throw refusal(`patch of ${task}`, answer);
    }
  }

  /** Aborts the last task of the machine, unless it has ended; half-done work is repaired. */
  async #abort(wish: Wish): Promise<void> {
    const last = wish.work.at(-1);
    if (last?.task === undefined) return;
    const path = `/api/v2/tasks/${last.task}`;
    const answer = await this.#insist('POST', `${path}/abort`);
    if (answer.status === 409) return;
    if (answer.status !== 202) throw refusal(`abort of ${last.task}`, answer);
    last.aborted = true;
    for (;;) {
      const { status } = (await this.#insist('GET', path)).body as Task;
      if (status === 'succeeded') return;
      if (status === 'cancelled') break;
      if (status === 'failed') throw new Error(`the aborted task ${last.task} failed`);
      await sleep(50);
    }
    this.#model.calledOff(wish);
    await this.#mend(wish, last);
  }

  /** After an aborted task: restarts it, or deletes what it left. */
  async #mend(wish: Wish, { task = '', verb }: Work): Promise<void> {
    if (this.#random() < 0.2) return this.#delete(wish);
    const making = verb === 'create' || verb === 'replace';
    if (!making && this.#random() < 0.5) return;
    const answer = await this.#insist('POST', `/api/v2/tasks/${task}/restart`);
    if (answer.status === 202) {
      this.#model.restarted(wish);
      return;
    }
    if (answer.status !== 409) throw refusal(`restart of ${task}`, answer);
    if (verb === 'create') throw refusal(`restart of the create ${task}`, answer);
    // The replacement had not started, so there is nothing to continue: everything is as before.
    if (verb === 'replace') {
      const { spec } = (await this.#insist('GET', `/api/v2/instances/${wish.id}`)).body as Instance;
      wish.flavorId = spec.flavorId;
    }
  }

  /** Every machine of this user is in the list, once. */
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

  /** Repeats the call, each time to another process, until the response shows its outcome. */
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
      const response = await checkedFetch(url + path, {
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
    } catch (error) {
      unlessBreach(error);
      return undefined;
    }
  }
}

function refusal(what: string, { status, code }: Answer): Error {
  return new Error(`${what}: ${status} ${code}`);
}

function taskOf({ location }: Answer): string {
  const id = location?.split('/').at(-1);
  if (id === undefined) throw new Error('an accepted request has no task');
  return id;
}
