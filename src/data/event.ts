/** Events: the change log as visible to its readers. */
import { defined } from '../model/common.js';
import { ApiError } from '../model/error.js';
import type { EventSubject, EventType } from '../model/event.js';
import type { Caller } from './caller.js';
import { type ChangeFeed, Follower } from './change-feed.js';
import { instances } from './instance.js';
import type { ProjectData } from './project.js';
import type { TagScope } from './tag-scope.js';
import { eventBaseId, eventBases } from './store/event-base.js';
import type { Change, Store } from './store/port.js';
import { tasks } from './task.js';
import type { SessionData } from './session.js';
import type { UserData } from './user.js';

const subjects: Readonly<Record<string, EventSubject>> = {
  [instances.name]: 'instance',
  [tasks.name]: 'task',
};

const verbs = { insert: 'created', replace: 'updated', expire: 'expiring', remove: 'deleted' } as const;

export interface EventFilter {
  projectIds?: readonly string[] | undefined;
  subjects?: readonly EventSubject[] | undefined;
  types?: readonly EventType[] | undefined;
  resourceIds?: readonly string[] | undefined;
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
  /** Where to continue, even if there was nothing for this reader. */
  next: number;
  /** Whether there may already be more after it. */
  more: boolean;
}

export class EventData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #users: UserData;
  readonly #sessions: SessionData;
  readonly #feed: ChangeFeed;
  readonly #scope: TagScope;
  #base: Promise<number> | undefined;

  constructor(
    store: Store,
    projects: ProjectData,
    { users, sessions }: { users: UserData; sessions: SessionData },
    feed: ChangeFeed,
    scope: TagScope,
  ) {
    this.#store = store;
    this.#projects = projects;
    this.#users = users;
    this.#sessions = sessions;
    this.#feed = feed;
    this.#scope = scope;
  }

  /** The id of position 0. It changes only while no server runs: by a copy, or by a restore. */
  #baseOfIds(): Promise<number> {
    this.#base ??= this.#store.get(eventBases, eventBaseId).then(
      (found) => found?.value.base ?? 0,
      (error: unknown) => {
        this.#base = undefined;
        throw error;
      },
    );
    return this.#base;
  }

  /** The position of an event's id; 0 is the beginning of the log in any store. */
  async #positionOf(id: number): Promise<number> {
    return id === 0 ? 0 : id - (await this.#baseOfIds());
  }

  /** The current end of the log: a reader that starts here gets all new events. */
  async end(): Promise<number> {
    return (await this.#baseOfIds()) + (await this.#store.lastChange()).position;
  }

  /** Whether no event after this one has been dropped. Checked after a read, it shows that the read was complete. */
  async isKept(id: number): Promise<boolean> {
    const position = await this.#positionOf(id);
    const { first } = await this.#store.changeRange();
    return position >= Math.max(first - 1, 0);
  }

  /** Throws 410 if events after this one have been dropped, and 400 if there never was such an event. */
  async check(after: number): Promise<void> {
    const [base, position] = [await this.#baseOfIds(), await this.#positionOf(after)];
    const { first, last } = await this.#store.changeRange();
    if (position > last) {
      throw new ApiError(
        'invalid_parameter',
        `There is no event ${after} yet; the last one is ${base + last}.`,
      );
    }
    const gone = Math.max(first - 1, 0);
    if (position < gone) {
      throw new ApiError(
        'events_expired',
        `Events up to ${base + gone} are no longer stored. List the resources again, then follow the events after ${base + last}.`,
      );
    }
  }

  /** Events after this one that the caller may see now: visibility ends at once with the membership. */
  async page(
    caller: Caller,
    filter: EventFilter,
    after: number,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage> {
    const scopes = await this.#projects.scope(caller, filter.projectIds);
    const base = await this.#baseOfIds();
    const query = defined({ after: await this.#positionOf(after), limit, scopes });
    const { changes, next } = await this.#store.changes(query, signal);
    const visible = await this.#scope.visible(caller, changes, signal);
    const wanted = visible.filter((change) => isWanted(change, filter));
    return {
      events: wanted.map((change) => eventOf(change, base)),
      next: base + next,
      more: changes.length === limit,
    };
  }

  /** Drops events older than a time (ms since 1970); returns how many. */
  trim(before: number): Promise<number> {
    return this.#store.trimChanges(new Date(before).toISOString());
  }

  /** Whether the caller still has the same rights: a stream outlives the check at the start of the request. */
  async isUnchanged({ principal, signal }: Caller): Promise<boolean> {
    const { name, superUser, everyProject = false, expires } = principal;
    if (!(await this.#users.isActive(principal, signal))) return false;
    if (!(await this.#sessions.isActive(principal, signal))) return false;
    const [is, was] = [this.#users.isSuperUser(name), superUser || everyProject];
    // A token may bring the power of a superuser with it, and ends by itself.
    return expires === undefined ? is === was : expires > Date.now() && (was || !is);
  }

  /** What readers are told of a change; undefined: nothing. */
  static told(change: Change): { subject: EventSubject; type: string; projectId: string } | undefined {
    const subject = subjects[change.collection];
    if (subject === undefined || change.scope === null) return undefined;
    return { subject, type: typeOf(change), projectId: change.scope };
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

function eventOf(change: Change, base: number): StoredEvent {
  const position = base + change.position;
  const { time, id, revision, scope, text } = change;
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
