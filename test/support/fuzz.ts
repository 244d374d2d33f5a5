/** Makes planned requests, stores the returned ids, and checks each response against the document. */
import { Agent } from 'node:http';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { Conformance, type OpenApi } from './conform.js';
import { wire, type WireReply } from './fuzz-http.js';
import { damaged, type FuzzDocument, type Plan } from './fuzz-request.js';
import { isPlaceholder, type Json, mutate } from './fuzz-schema.js';

/** Maximum size of a pool: the newest members. */
const poolLimit = 60;

export interface Sent {
  method: string;
  target: string;
  headers: Record<string, string>;
  body?: Buffer;
}

/** The members of an instance or a task that are read. */
interface Resource {
  id?: string;
  metadata?: { id: string; name: string };
  status?: string | { taskId?: string };
}

export class Fuzzer {
  readonly #url: string;
  readonly #keys: readonly string[];
  readonly #conformance: Conformance;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  readonly #pools = new Map<string, string[]>();
  /** Names by id: a PUT must repeat the name, which no schema expresses. */
  readonly #names = new Map<string, string>();
  /** Responses by operation, then by status. */
  readonly counts = new Map<string, Map<number, number>>();

  /** The first key is used most. */
  constructor(url: string, keys: readonly string[], document: FuzzDocument) {
    this.#url = url;
    this.#keys = keys;
    this.#conformance = new Conformance(document as unknown as OpenApi);
  }

  get requests(): number {
    return [...this.counts.values()]
      .flatMap((statuses) => [...statuses.values()])
      .reduce((sum, count) => sum + count, 0);
  }

  /** Puts an id into the pool of its kind: `instanceid`, `etag`. */
  learn(pool: string, ...values: string[]): void {
    const known = this.#pools.get(pool) ?? [];
    for (const value of values) if (!known.includes(value)) known.push(value);
    this.#pools.set(pool, known.slice(-poolLimit));
  }

  /** Makes the request. Throws, with the request as a curl command, if the response is not as required. */
  async run(plan: Plan): Promise<void> {
    const sent = this.#render(plan);
    let reply: WireReply | undefined;
    try {
      const { method, headers, body } = sent;
      reply = await wire(this.#url + sent.target, {
        method,
        headers,
        body,
        agent: this.#agent,
        within: 70_000,
        unchecked: true,
      });
      const statuses = this.counts.get(plan.operationId) ?? new Map<number, number>();
      statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
      this.counts.set(plan.operationId, statuses);
      this.#check(sent, reply);
    } catch (cause) {
      const answer =
        reply === undefined ? 'no answer' : `${reply.status} ${reply.bytes.toString().slice(0, 500)}`;
      const why = (cause as Error).message;
      throw new Error(`${plan.operationId}: ${why}\n\n${this.#curl(sent)}\n\nanswered: ${answer}`, { cause });
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #render(plan: Plan): Sent {
    const path = plan.path.replaceAll(/\{(\w+)\}/g, (_whole, name: string) =>
      this.#inUrl(plan.pathParameters[name]),
    );
    const query = plan.query.map(([name, value]) => `${encoded(name)}=${this.#inUrl(value)}`).join('&');
    const other = plan.caller % 6 === 0 ? plan.caller % this.#keys.length : 0;
    const headers: Record<string, string> = { Authorization: `Bearer ${this.#keys[other] ?? ''}` };
    for (const [name, value] of plan.headers) {
      const text = this.#resolve(value);
      if (typeof text === 'string') headers[name] = text;
    }
    const sent = { method: plan.method, target: query === '' ? path : `${path}?${query}`, headers };
    if (plan.body === undefined || plan.method === 'HEAD') return sent;
    const { value, mutations, damage, type } = plan.body;
    const json = JSON.stringify(mutations.reduce(mutate, this.#named(path, this.#resolve(value))));
    const plain = damaged(json, damage);
    if (type !== undefined) headers['Content-Type'] = type;
    const folded = headers['Content-Encoding'] === 'gzip' && plain.length % 2 === 0;
    return { ...sent, body: folded ? gzipSync(plain) : plain };
  }

  /** The value with ids instead of placeholders; a copy, so that mutations do not accumulate. */
  #resolve(value: unknown): Json {
    if (isPlaceholder(value)) {
      const pool = this.#pools.get(value.$pool) ?? [];
      return pool[value.index % Math.max(pool.length, 1)] ?? '0193a5c0-0000-7000-8000-000000000000';
    }
    if (Array.isArray(value)) return value.map((item) => this.#resolve(item));
    if (typeof value !== 'object' || value === null) return (value ?? null) as Json;
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return Object.fromEntries(members.map(([name, member]) => [name, this.#resolve(member)]));
  }

  /** The body with the name of the resource that the path names, if it has one. */
  #named(path: string, body: Json): Json {
    const name = this.#names.get(path.split('/').at(-1) ?? '');
    const { metadata } = body as { metadata?: { name?: Json } };
    if (name !== undefined && metadata !== undefined) metadata.name = name;
    return body;
  }

  #inUrl(value: unknown): string {
    const resolved = this.#resolve(value);
    return encoded(typeof resolved === 'string' ? resolved : JSON.stringify(resolved));
  }

  #check({ method, target, headers: sent }: Sent, { status, headers, bytes }: WireReply): void {
    // The fuzzer itself switches things off; images cannot be imported yet.
    const code = String(headers['x-error-code']);
    const isBuilt = code !== 'not_implemented' || !/^\/api\/v2\/images(\?|$)/.test(target);
    if (code !== 'switched_off' && isBuilt) expect(status, 'no 5xx').to.be.below(500);
    const fields = new Headers(
      Object.entries(headers).flatMap(([name, value]) =>
        typeof value === 'string' ? [[name, value] as [string, string]] : [],
      ),
    );
    const { body } = this.#conformance.checkBytes(method, target, status, fields, bytes);
    const path = target.split('?')[0] ?? '';
    // Others get 404 for existing resources.
    if (status === 404 && sent['Authorization'] === `Bearer ${this.#keys[0] ?? ''}`) this.#forget(path);
    this.#harvest(path, fields, body);
  }

  /** Deleted ids are dropped after one request, or soon hardly anything else would be requested. */
  #forget(path: string): void {
    const known = this.#pools.get('instanceid') ?? [];
    this.#pools.set(
      'instanceid',
      known.filter((id) => !path.includes(id)),
    );
  }

  #harvest(path: string, fields: Headers, body: unknown): void {
    const tag = fields.get('etag');
    if (tag !== null) this.learn('etag', tag);
    for (const [, key] of (fields.get('link') ?? '').matchAll(/[?&]key=([^&>]+)/g))
      this.learn('key', decodeURIComponent(key ?? ''));
    const task = /\/tasks\/([0-9a-f-]{36})$/.exec(fields.get('location') ?? '')?.[1];
    if (task !== undefined) this.learn('taskid', task);
    if (!path.startsWith('/api/v2/')) return;
    for (const item of (Array.isArray(body) ? body : [body]) as (Resource | undefined)[]) {
      const { id, metadata, status } = item ?? {};
      if (path.startsWith('/api/v2/instances') && metadata !== undefined) {
        this.learn('instanceid', metadata.id);
        this.#names.set(metadata.id, metadata.name);
      }
      if (path.startsWith('/api/v2/admin/') && id !== undefined) this.learn('id', id);
      // Most tasks have succeeded, and little can be done to them; Location provides enough.
      if (path.startsWith('/api/v2/tasks') && id !== undefined && (status as unknown) !== 'succeeded')
        this.learn('taskid', id);
      if (typeof status === 'object' && status.taskId !== undefined) this.learn('taskid', status.taskId);
    }
  }

  #curl({ method, target, headers, body }: Sent): string {
    const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
    const fields = Object.entries(headers).map(
      ([name, value]) => `-H ${quoted(value === '' ? `${name};` : `${name}: ${value}`)}`,
    );
    const how = method === 'HEAD' ? '-I' : `-X ${method}`;
    const line = `curl -i ${how} --path-as-is ${fields.join(' ')} ${quoted(this.#url + target)}`;
    return body === undefined
      ? line
      : `echo ${body.toString('base64')} | base64 -d | ${line} --data-binary @-`;
  }
}

/**
 * Characters allowed in a URL stay unchanged, so that unusual ones arrive as such; unpaired surrogates have no UTF-8.
 */
function encoded(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString());
}
