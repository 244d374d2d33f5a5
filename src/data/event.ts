/** Events: the change log as its readers may see it. */
import { ApiError } from '../model/error.js';
import type { EventSubject, EventType } from '../model/event.js';
import type { Caller } from './caller.js';
import type { ChangeFeed } from './change-feed.js';
import { Follower } from './change-feed.js';
import { instances } from './instance.js';
import type { ProjectData } from './project.js';
import type { Change, Store } from './store/port.js';
import { narrow, tasks } from './task.js';
import type { UserData } from './user.js';

const subjects: Readonly<Record<string, EventSubject>> = {
  [instances.name]: 'instance',
  [tasks.name]: 'task',
};

const verbs = { insert: 'created', replace: 'updated', expire: 'expiring', remove: 'deleted' } as const;

export interface EventFilter {
  projectIds?: readonly string[];
  subjects?: readonly EventSubject[];
  types?: readonly EventType[];
  resourceIds?: readonly string[];
}

export interface StoredEvent {
  position: number;
  /** `instance.created` and so on. */
  type: string;
  /** The event's JSON text. */
  text: string;
}

export interface EventPage {
  events: StoredEvent[];
  /** Where to read on, also when there was nothing for this reader. */
  next: number;
  /** Whether there may be more behind it already. */
  more: boolean;
}

export class EventData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #users: UserData;
  readonly #feed: ChangeFeed;

  constructor(store: Store, projects: ProjectData, users: UserData, feed: ChangeFeed) {
    this.#store = store;
    this.#projects = projects;
    this.#users = users;
    this.#feed = feed;
  }

  /** Where the log ends now: whoever begins here gets all that comes. */
  async end(): Promise<number> {
    return (await this.#store.lastChange()).position;
  }

  /** Whether no event behind this position has been dropped. Asked after a read, it tells that the read was whole. */
  async isKept(position: number): Promise<boolean> {
    const { first } = await this.#store.changeRange();
    return first === 0 || position >= first - 1;
  }

  /** Throws 410 when events behind this position are gone already, and 400 when there never was such a position. */
  async check(after: number): Promise<void> {
    const { first, last } = await this.#store.changeRange();
    if (after > last) {
      throw new ApiError('invalid_parameter', `There is no event ${after} yet; the last one is ${last}.`);
    }
    if (first > 0 && after < first - 1) {
      throw new ApiError(
        'events_expired',
        `Events up to ${first - 1} are gone. List the resources anew, and follow the events from ${last} on.`,
      );
    }
  }

  /** Events behind the position that the caller may see now: he loses sight with his membership, at once. */
  async page(
    caller: Caller,
    filter: EventFilter,
    after: number,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage> {
    const scopes = narrow(await this.#projects.scope(caller), filter.projectIds);
    const query = { after, limit, ...(scopes === undefined ? {} : { scopes }) };
    const { changes, next } = await this.#store.changes(query, signal);
    const wanted = changes.filter((change) => isWanted(change, filter));
    return { events: wanted.map(eventOf), next, more: changes.length === limit };
  }

  /** Drops events from before a time (ms since 1970); tells how many. */
  trim(before: number): Promise<number> {
    return this.#store.trimChanges(new Date(before).toISOString());
  }

  /** Whether the caller's account is still active: a stream outlives the request's own check. */
  isActive(caller: Caller): Promise<boolean> {
    return this.#users.isActive(caller.principal.id);
  }

  follow(): Follower {
    return new Follower(this.#feed);
  }

  /** Aborts when the server stops. */
  get closing(): AbortSignal {
    return this.#feed.closing;
  }
}

function isWanted(change: Change, { subjects: kinds, types, resourceIds }: EventFilter): boolean {
  const subject = subjects[change.collection];
  if (subject === undefined || change.scope === null) return false;
  return (
    (kinds?.includes(subject) ?? true) &&
    (types?.some((type) => type === typeOf(change)) ?? true) &&
    (resourceIds?.includes(change.id) ?? true)
  );
}

function typeOf({ collection, op }: Change): string {
  return `${subjects[collection] ?? ''}.${verbs[op]}`;
}

function eventOf(change: Change): StoredEvent {
  const { position, time, id, revision, scope, text } = change;
  const type = typeOf(change);
  const head = JSON.stringify({
    id: String(position),
    type,
    time,
    projectId: scope,
    resourceId: id,
    revision,
  });
  return { position, type, text: `${head.slice(0, -1)},"resource":${text ?? 'null'}}` };
}
