/**
 * Settings, service flags and banner of the site. Each process keeps them in memory and learns of changes by others
 * from the change feed, so that asking them costs nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import { Check } from 'typebox/schema';
import type { AuditRecord } from '../model/audit.js';
import { ApiError, type FieldError } from '../model/error.js';
import { merged } from '../model/merge-patch.js';
import {
  Banner,
  type Configured,
  effectiveSettings,
  enabledTypes,
  type FlagName,
  leastRequests,
  type ServiceFlagsPatch,
  type ServiceFlagsWrite,
  type Settings,
  type SettingsPatch,
  storedFlags,
  type StoredFlags,
  StoredSettings,
} from '../model/settings.js';
import type { TaskType } from '../model/task.js';
import { pause } from '../platform/time.js';
import type { Accepted, Caller } from './caller.js';
import type { ChangeFeed } from './change-feed.js';
import { acceptedOf, type Changed, SiteDocument, siteCollection } from './site-document.js';
import type { Document, Store } from './store/port.js';
import { type SuperUserRule, users } from './user.js';

export const settings = siteCollection<StoredSettings>('settings');
export const serviceFlags = siteCollection<StoredFlags>('service_flags');
export const banners = siteCollection<Banner>('banner');

const hour = 3_600_000;
const day = 24 * hour;

/** Milliseconds between two attempts to read the settings while that fails: the first pause, and the longest. */
const rereading = { pause: 100, longest: 2000 };

/** Limits of expiries, in milliseconds. */
export interface ExpiryLimits {
  readonly maxLifetime: number;
  /** Of an instance whose create names no expiry; undefined: it does not expire. */
  readonly defaultLifetime: number | undefined;
  readonly warning: number;
  /** How long deleted instances are kept; 0: not at all. */
  readonly trash: number;
}

export class SettingsData {
  readonly #store: Store;
  readonly #configured: Configured;
  readonly #everyoneIsSuperUser: boolean;
  readonly #settings: SiteDocument<StoredSettings>;
  readonly #flags: SiteDocument<StoredFlags>;
  readonly #banner: SiteDocument<Banner>;
  readonly #listeners = new Set<() => void>();
  /** Always the present limits. */
  readonly expiry: ExpiryLimits;
  #present: Settings;
  #rule: SuperUserRule;
  #types: readonly TaskType[] | undefined;
  #reloads = 0;

  /** `configured`: what is in force where nothing is set. */
  constructor(store: Store, configured: Configured, everyoneIsSuperUser: boolean) {
    this.#store = store;
    this.#configured = configured;
    this.#everyoneIsSuperUser = everyoneIsSuperUser;
    const changed = () => this.#apply();
    this.#settings = new SiteDocument(store, settings, {}, changed);
    this.#flags = new SiteDocument(store, serviceFlags, {}, changed);
    this.#banner = new SiteDocument<Banner>(store, banners, { banner: '', theme: '' }, changed);
    this.#present = effectiveSettings({}, configured);
    this.#rule = { superUsers: configured.superUsers, everyoneIsSuperUser };
    this.expiry = expiryOf(() => this.#present.instances);
  }

  /** Reads everything, and follows what other processes change. */
  async open(feed: ChangeFeed, failed: (error: unknown) => void): Promise<void> {
    await this.#load();
    feed.subscribe((foreign) => {
      if (foreign) void this.#reload(feed.closing, failed);
    });
  }

  /** Until it succeeds: nothing else may announce the change again. A later announcement replaces an earlier one. */
  async #reload(closing: AbortSignal, failed: (error: unknown) => void): Promise<void> {
    const turn = (this.#reloads += 1);
    for (let wait = rereading.pause; turn === this.#reloads; wait = Math.min(wait * 2, rereading.longest)) {
      try {
        await this.#load();
        return;
      } catch (error) {
        if (closing.aborted) return;
        failed(error);
      }
      await pause(wait, { signal: closing }).catch(() => undefined);
    }
  }

  /** Learns at once of what this process has written past it. */
  reload(): Promise<void> {
    return this.#load();
  }

  async #load(): Promise<void> {
    await Promise.all([this.#settings.load(), this.#flags.load(), this.#banner.load()]);
  }

  #apply(): void {
    this.#present = effectiveSettings(this.#settings.present.value, this.#configured);
    const superUsers = [...this.#configured.superUsers, ...this.#present.superUsers];
    this.#rule = { superUsers, everyoneIsSuperUser: this.#everyoneIsSuperUser };
    this.#types = enabledTypes(this.#flags.present.value);
    for (const listener of this.#listeners) listener();
  }

  /** Calls the listener when something has changed, by any process. */
  watch(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** The settings in force. */
  get present(): Settings {
    return this.#present;
  }

  get superUserRule(): SuperUserRule {
    return this.#rule;
  }

  get banner(): Document<Banner> {
    return this.#banner.present;
  }

  /** The task types that workers may begin; undefined: all. */
  get taskTypes(): readonly TaskType[] | undefined {
    return this.#types;
  }

  /** Whether this is on. */
  flag(name: FlagName): boolean {
    return this.#flags.present.value[name] !== false;
  }

  /** Throws if it is off. `what` begins the message: "Creating instances". */
  demand(name: FlagName, what: string): void {
    if (this.flag(name)) return;
    const message = `${what} is switched off. A superuser can switch it on again: flag "${name}" of /api/v2/admin/service_flags.`;
    throw new ApiError('switched_off', message, { headers: { 'Retry-After': '60' } });
  }

  /** The settings in force, as they are in the store, and their revision. */
  async get(caller: Caller): Promise<Document<Settings>> {
    return this.#shown(await this.#settings.read(caller.signal));
  }

  #shown({ id, revision, value }: Document<StoredSettings>): Document<Settings> {
    return { id, revision, value: effectiveSettings(value, this.#configured) };
  }

  async patch(caller: Caller, patch: SettingsPatch): Promise<Document<Settings>> {
    const { document } = await this.#settings.change(caller, {
      action: 'settings.update',
      next: async (value) => {
        const next = withoutEmpty(merged(value, patch) as StoredSettings);
        await this.#check(next, value, caller.signal);
        return next;
      },
    });
    return this.#shown(document);
  }

  /** A name that nobody has yet would make whoever gets it later a superuser. */
  async #check(next: StoredSettings, before: StoredSettings, signal?: AbortSignal): Promise<void> {
    const errors: FieldError[] = [];
    for (const [index, name] of (next.superUsers ?? []).entries()) {
      if (before.superUsers?.includes(name) === true) continue;
      if ((await this.#store.find(users, 'name', [name], signal)) !== undefined) continue;
      errors.push({ pointer: `/superUsers/${index}`, message: `There is no user "${name}".` });
    }
    if (errors.length > 0)
      throw new ApiError('invalid_reference', errors.map(({ message }) => message).join(' '), { errors });
    const { requests = 0 } = next.limits ?? {};
    if (requests > 0 && requests < leastRequests)
      throw invalid('/limits/requests', `At least ${leastRequests}, or 0 for no limit.`);
    const { defaultLifetime = 0, maxLifetime } = effectiveSettings(next, this.#configured).instances;
    if (defaultLifetime > maxLifetime)
      throw invalid(
        '/instances/defaultLifetime',
        `The default lifetime must not exceed the maximum of ${maxLifetime} days.`,
      );
  }

  getFlags(caller: Caller): Promise<Document<StoredFlags>> {
    return this.#flags.read(caller.signal);
  }

  /** Sets all flags; those that are omitted are on. */
  putFlags(caller: Caller, flags: ServiceFlagsWrite): Promise<Document<StoredFlags>> {
    return this.#changeFlags(caller, () => storedFlags(flags));
  }

  /** Sets the flags that the patch names. */
  patchFlags(caller: Caller, patch: ServiceFlagsPatch): Promise<Document<StoredFlags>> {
    return this.#changeFlags(caller, (value) => storedFlags({ ...value, ...patch }));
  }

  async #changeFlags(
    caller: Caller,
    next: (value: StoredFlags) => StoredFlags,
  ): Promise<Document<StoredFlags>> {
    return (await this.#flags.change(caller, { action: 'service_flags.update', next })).document;
  }

  async putBanner(caller: Caller, banner: Banner): Promise<Document<Banner>> {
    const change = { action: 'banner.update', next: () => banner };
    return (await this.#banner.change(caller, change)).document;
  }

  /** Undoes the change of an audit record, unless the document has been changed since. Returns the new record. */
  async undo(caller: Caller, record: Document<AuditRecord>): Promise<Accepted> {
    return acceptedOf(await this.#undo(caller, record));
  }

  #undo(caller: Caller, record: Document<AuditRecord>): Promise<Changed<object>> {
    switch (record.value.resource.type) {
      case settings.name:
        return undo(caller, this.#settings, record, async (value) => {
          const before = this.#settings.present.value;
          if (Check(StoredSettings, value)) await this.#check(value, before, caller.signal);
          else throw noLongerValid();
        });
      case serviceFlags.name:
        return undo(caller, this.#flags, record, (value) => {
          if (!isDeepStrictEqual(value, storedFlags(value))) throw noLongerValid();
        });
      case banners.name:
        return undo(caller, this.#banner, record, (value) => {
          if (!Check(Banner, value)) throw noLongerValid();
        });
      default:
        throw unprocessable('A change of this kind cannot be undone; docs/admin.md lists those that can.');
    }
  }
}

/** `check` throws if the state before is not valid by today's rules. */
function undo<T extends object>(
  caller: Caller,
  document: SiteDocument<T>,
  { id, value: { before, after } }: Document<AuditRecord>,
  check: (before: T) => Promise<void> | void,
): Promise<Changed<T>> {
  return document.change(caller, {
    action: `${document.type}.revert`,
    reverts: id,
    next: async (present) => {
      if (!isDeepStrictEqual(present, after)) throw changedSince();
      await check(before as T);
      return before as T;
    },
  });
}

function noLongerValid(): ApiError {
  return unprocessable('The state before that change is no longer valid.');
}

function invalid(pointer: string, message: string): ApiError {
  return new ApiError('invalid_body', message, { errors: [{ pointer, message }] });
}

export function unprocessable(message: string): ApiError {
  return new ApiError('unprocessable', message, { errors: [{ pointer: '/id', message }] });
}

export function changedSince(): ApiError {
  const message = 'The resource has been changed since then, so the change cannot be undone.';
  return new ApiError('changed_since', message, { errors: [{ pointer: '/id', message }] });
}

/** Without members that a patch has emptied. */
function withoutEmpty(value: StoredSettings): StoredSettings {
  const isEmpty = (member: unknown) =>
    typeof member === 'object' && member !== null && Object.keys(member).length === 0;
  return Object.fromEntries(Object.entries(value).filter(([, member]) => !isEmpty(member)));
}

function expiryOf(present: () => Settings['instances']): ExpiryLimits {
  return {
    get maxLifetime() {
      return present().maxLifetime * day;
    },
    get defaultLifetime() {
      const { defaultLifetime } = present();
      return defaultLifetime === undefined ? undefined : defaultLifetime * day;
    },
    get warning() {
      return present().expiryWarning * hour;
    },
    get trash() {
      return present().trash * hour;
    },
  };
}
