/** Subscriptions: each belongs to a user, who sees only their own, or to a project, whose admins manage them. */
import { isDeepStrictEqual } from 'node:util';
import { randomBytes } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import { defined, timestamp } from '../model/common.js';
import { ApiError, notFound, notFoundAt, orNotFound, rightMissing } from '../model/error.js';
import { rightsIn } from '../model/project.js';
import {
  formersAfter,
  isWebhookSecret,
  type OwnerType,
  presentSubscription,
  readWebhookUrl,
  selectorFault,
  type Subscription,
  type SubscriptionRecord,
  type SubscriptionWrite,
} from '../model/subscription.js';
import {
  type Delivery,
  type DeliveryRecord,
  type DeliveryStatus,
  type DeliveryWithPayload,
  payloadOf,
  presentDelivery,
} from '../model/webhook.js';
import { isAllowedAddress } from '../model/public-address.js';
import { audited } from './audit.js';
import type { Caller } from './caller.js';
import type { ProjectData } from './project.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  type ListPage,
  remove,
  replace,
  type Store,
  StoreConflict,
  type TextPage,
} from './store/port.js';
import { retrying } from './store/retry.js';
import { users } from './user.js';
import { deliveries, ofNoProject, projectColumn, wakingWrites, webhooks } from './webhook.js';

export const subscriptions: CollectionSpec<SubscriptionRecord> = {
  name: 'subscriptions',
  columns: { owner: 'text', state: 'text' },
  columnsOf: (_id, { ownerType, owner, disabled }) => ({
    owner: `${ownerType}:${owner}`,
    state: disabled === undefined ? 'active' : 'disabled',
  }),
  present: presentSubscription,
  orders: { id: [] },
  indexes: [['owner'], ['state']],
};

/** Subscriptions per owner. */
const subscriptionLimit = 100;
/** Deliveries that are removed together with their subscription; retention removes the rest. */
const removedAtOnce = 1000;

export interface WebhookRules {
  /** Ranges of addresses that deliveries may go to beside the public ones. */
  allowAddresses: readonly string[];
  allowHttp: boolean;
}

interface Owner {
  ownerType: OwnerType;
  owner: string;
}

export interface Written {
  subscription: Subscription;
  created: boolean;
  revision: number;
  /** If it was made here. */
  secret?: string;
}

export class SubscriptionData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #rules: WebhookRules;

  constructor(store: Store, projects: ProjectData, rules: WebhookRules) {
    this.#store = store;
    this.#projects = projects;
    this.#rules = rules;
  }

  async list(caller: Caller, asked: Partial<Owner>, page: ListPage): Promise<TextPage> {
    const { ownerType, owner } = ownerOf(caller, asked);
    await this.#demand(caller, { ownerType, owner }, notFound);
    const filter = { owner: `${ownerType}:${owner}` };
    return this.#store.pageTexts(subscriptions, { ...page, filter }, caller.signal);
  }

  /** The subscription, if the caller may manage it; otherwise `not_found`. */
  async get(caller: Caller, id: string): Promise<Document<SubscriptionRecord>> {
    const found = orNotFound(await this.#store.get(subscriptions, id, caller.signal));
    await this.#demand(caller, found.value, notFound);
    return found;
  }

  /** Updates the subscription of the given id; creates it if there is none. */
  async put(caller: Caller, body: SubscriptionWrite): Promise<Written> {
    checkSelectors(body);
    checkSecret(body);
    const url = this.#urlOf(body.subscriber.url);
    return retrying(async () => {
      const found =
        body.id === undefined ? undefined : await this.#store.get(subscriptions, body.id, caller.signal);
      return found === undefined ? this.#create(caller, body, url) : this.#update(caller, found, body, url);
    });
  }

  async #create(caller: Caller, body: SubscriptionWrite, url: string): Promise<Written> {
    const { ownerType, owner } = ownerOf(caller, body);
    await this.#demand(caller, { ownerType, owner }, () => notFoundAt('/owner', ownerType), true);
    const filter = { owner: `${ownerType}:${owner}` };
    if ((await this.#store.count(subscriptions, { filter }, caller.signal)) >= subscriptionLimit) {
      const message = `This ${ownerType} has ${subscriptionLimit} subscriptions, which is the most; delete one first.`;
      throw new ApiError('unprocessable', message);
    }
    const made = body.subscriber.secret === undefined ? newSecret() : undefined;
    const record: SubscriptionRecord = {
      ownerType,
      owner,
      selectors: body.selectors ?? [],
      url,
      secret: body.subscriber.secret ?? made ?? '',
      creationTime: timestamp(),
      createdBy: caller.principal.name,
    };
    const id = body.id ?? uuidv7();
    const subscription = presentSubscription(id, record);
    const audit = await audited(
      this.#store,
      caller,
      'subscription.create',
      { type: 'subscription', id },
      undefined,
      subscription,
    );
    try {
      await this.#store.write([insert(subscriptions, id, record), ...audit], caller.signal);
    } catch (error) {
      // The same id was created at the same time.
      if (error instanceof StoreConflict && error.kind === 'unique') throw raced(error);
      throw error;
    }
    return { subscription, created: true, revision: 1, ...(made === undefined ? {} : { secret: made }) };
  }

  async #update(
    caller: Caller,
    found: Document<SubscriptionRecord>,
    body: SubscriptionWrite,
    url: string,
  ): Promise<Written> {
    const { id, value } = found;
    await this.#demand(caller, value, notFound);
    const asked = { ownerType: body.ownerType ?? value.ownerType, owner: body.owner ?? value.owner };
    if (asked.ownerType !== value.ownerType || asked.owner !== value.owner) {
      const message = 'The owner of a subscription cannot be changed; create another one.';
      throw new ApiError('unprocessable', message, { errors: [{ pointer: '/owner', message }] });
    }
    caller.precondition?.({ revision: found.revision, wishRevision: found.revision });
    const { disabled, lost: _, formerSecrets: __, ...rest } = value;
    const changed: SubscriptionRecord = {
      ...rest,
      ...formersAfter(value, body),
      selectors: body.selectors ?? value.selectors,
      url,
      secret: body.subscriber.secret ?? value.secret,
    };
    if (isDeepStrictEqual(changed, value))
      return { subscription: presentSubscription(id, value), created: false, revision: found.revision };
    const next = { ...changed, modifiedTime: timestamp(), modifiedBy: caller.principal.name };
    const subscription = presentSubscription(id, next);
    const writes = [
      replace(subscriptions, found, next),
      ...(await audited(
        this.#store,
        caller,
        'subscription.update',
        { type: 'subscription', id },
        presentSubscription(id, value),
        subscription,
      )),
      // What was left is tried again.
      ...(disabled === undefined ? [] : await this.#waking(caller, id, url)),
    ];
    await this.#store.write(writes, caller.signal);
    return { subscription, created: false, revision: found.revision + 1 };
  }

  #waking(caller: Caller, id: string, url: string) {
    return wakingWrites(this.#store, id, new URL(url).hostname, caller, ({ pausedUntil: _, ...webhook }) => ({
      ...webhook,
      failures: 0,
    }));
  }

  async delete(caller: Caller, id: string): Promise<void> {
    return retrying(async () => {
      const found = await this.get(caller, id);
      caller.precondition?.({ revision: found.revision, wishRevision: found.revision });
      const webhook = await this.#store.get(webhooks, id, caller.signal);
      const filter = { subscription_id: id };
      const query = { order: 'id', filter, limit: removedAtOnce };
      const left = await this.#store.page(deliveries, query, caller.signal);
      await this.#store.write(
        [
          remove(subscriptions, found),
          ...(webhook === undefined ? [] : [remove(webhooks, webhook)]),
          ...left.map((delivery) => remove(deliveries, delivery)),
          ...(await audited(
            this.#store,
            caller,
            'subscription.delete',
            { type: 'subscription', id },
            presentSubscription(id, found.value),
            undefined,
          )),
        ],
        caller.signal,
      );
    });
  }

  async deliveries(
    caller: Caller,
    id: string,
    statuses: readonly DeliveryStatus[] | undefined,
    page: ListPage,
  ): Promise<TextPage> {
    await this.get(caller, id);
    const seen = await this.#projectsSeen(caller);
    const filter = defined({ subscription_id: id, status: statuses, project_id: seen });
    return this.#store.pageTexts(deliveries, { ...page, filter }, caller.signal);
  }

  async delivery(caller: Caller, id: string, deliveryId: string): Promise<DeliveryWithPayload> {
    await this.get(caller, id);
    const { value } = await this.#delivery(caller, id, deliveryId);
    return { ...presentDelivery(deliveryId, value), payload: value.payload };
  }

  async #delivery(caller: Caller, id: string, deliveryId: string): Promise<Document<DeliveryRecord>> {
    const found = await this.#store.get(deliveries, deliveryId, caller.signal);
    if (found?.value.subscriptionId !== id) throw notFound();
    const seen = await this.#projectsSeen(caller);
    if (seen?.includes(projectColumn(found.value)) === false) throw notFound();
    return found;
  }

  /** Of which projects the caller may still read what was told; undefined: of all, and of the site. */
  async #projectsSeen(caller: Caller): Promise<string[] | undefined> {
    const scope = await this.#projects.scope(caller);
    return scope && [...scope, ofNoProject];
  }

  /** Sends a delivery once more, under the same id. */
  async replay(caller: Caller, id: string, deliveryId: string): Promise<Delivery> {
    return retrying(async () => {
      const { value: subscription } = await this.get(caller, id);
      demandActive(subscription);
      const found = await this.#delivery(caller, id, deliveryId);
      const { attempts } = found.value;
      const next = { ...found.value, status: 'pending' as const, attemptBase: attempts, due: Date.now() };
      await this.#store.write(
        [replace(deliveries, found, next), ...(await this.#waking(caller, id, subscription.url))],
        caller.signal,
      );
      return presentDelivery(deliveryId, next);
    });
  }

  /** Sends a test event. */
  async ping(caller: Caller, id: string): Promise<Delivery> {
    return retrying(async () => {
      const { value: subscription } = await this.get(caller, id);
      demandActive(subscription);
      const deliveryId = uuidv7();
      const creationTime = timestamp();
      const delivery: DeliveryRecord = {
        subscriptionId: id,
        type: 'webhook.ping',
        payload: payloadOf('webhook.ping', creationTime, { subscriptionId: id }),
        status: 'pending',
        attempts: 0,
        due: Date.now(),
        creationTime,
      };
      await this.#store.write(
        [insert(deliveries, deliveryId, delivery), ...(await this.#waking(caller, id, subscription.url))],
        caller.signal,
      );
      return presentDelivery(deliveryId, delivery);
    });
  }

  /** Throws unless the caller may manage what belongs to the owner; `hidden`: for an owner whom they may not know. */
  async #demand(
    caller: Caller,
    { ownerType, owner }: Owner,
    hidden: () => ApiError,
    isNew = false,
  ): Promise<void> {
    const { principal, signal } = caller;
    if (ownerType === 'project') {
      const project = await this.#projects.load(owner, signal);
      const held = project === undefined ? [] : rightsIn(project, principal);
      // What a deleted project has left.
      if (project === undefined && principal.superUser && !isNew) return;
      if (!held.includes('read')) throw hidden();
      if (!held.includes('administer')) throw rightMissing('administer');
      return;
    }
    if (owner !== principal.id) {
      if (!principal.superUser || (await this.#store.get(users, owner, signal)) === undefined) throw hidden();
    }
  }

  #urlOf(text: string): string {
    const pointer = '/subscriber/url';
    const refused = (message: string) =>
      new ApiError('unprocessable', message, { errors: [{ pointer, message }] });
    const read = readWebhookUrl(text, this.#rules.allowHttp);
    if ('fault' in read) throw refused(read.fault);
    const host = read.url.hostname.replace(/^\[(.*)\]$/, '$1');
    // Names are judged by the address that they resolve to when a delivery connects.
    const isAddress = /^[\d.]+$/.test(host) || host.includes(':');
    const { allowAddresses } = this.#rules;
    if (isAddress && !isAllowedAddress(host, allowAddresses))
      throw refused(
        'The address is not public, and the configuration does not allow it (webhooks.allowAddresses).',
      );
    if (/(^|\.)localhost\.?$/.test(host) && !isAllowedAddress('127.0.0.1', allowAddresses))
      throw refused('The host is this server itself.');
    return read.url.href;
  }
}

function ownerOf(
  caller: Caller,
  { ownerType = 'user', owner }: { [K in keyof Owner]?: Owner[K] | undefined },
): Owner {
  if (owner !== undefined) return { ownerType, owner };
  if (ownerType === 'user') return { ownerType, owner: caller.principal.id };
  const message = 'Name the project: its id.';
  throw new ApiError('unprocessable', message, { errors: [{ pointer: '/owner', message }] });
}

function checkSelectors({ selectors = [] }: SubscriptionWrite): void {
  const errors = selectors.flatMap((selector, index) => {
    const message = selectorFault(selector);
    return message === undefined ? [] : [{ pointer: `/selectors/${index}/data`, message }];
  });
  const [first] = errors;
  if (first !== undefined) throw new ApiError('unprocessable', first.message, { errors });
}

function checkSecret({ subscriber: { secret } }: SubscriptionWrite): void {
  if (secret === undefined || isWebhookSecret(secret)) return;
  const message = 'Expected whsec_ and 24 to 64 bytes in base64, with its padding.';
  throw new ApiError('unprocessable', message, { errors: [{ pointer: '/subscriber/secret', message }] });
}

function demandActive({ disabled }: SubscriptionRecord): void {
  if (disabled === undefined) return;
  throw new ApiError(
    'conflict',
    `The subscription is disabled: ${disabled.reason} POST it again with its id to enable it.`,
  );
}

function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

function raced(cause: unknown): ApiError {
  return new ApiError('conflict', 'The subscription was created at the same time; try again.', { cause });
}
