/** Settings of users: each sees and changes only their own. */
import { isDeepStrictEqual } from 'node:util';
import { merged } from '../model/merge-patch.js';
import {
  checkUserSettings,
  presentUserSettings,
  type StoredUserSettings,
  type UserSettings,
  type UserSettingsPatch,
} from '../model/user-settings.js';
import { audited } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { ResourceData } from './resource.js';
import { type CollectionSpec, type Document, insert, replace, StoreConflict } from './store/port.js';
import { retrying } from './store/retry.js';

/** By the id of the user; absent until they set something. */
export const userSettings: CollectionSpec<StoredUserSettings> = {
  name: 'user_settings',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

export class UserSettingsData extends ResourceData {
  async get(caller: Caller): Promise<Document<UserSettings>> {
    const { id } = caller.principal;
    const found = await this.store.get(userSettings, id, caller.signal);
    return { id, revision: found?.revision ?? 0, value: presentUserSettings(found?.value ?? {}) };
  }

  /** Replaces the members that are given, each as a whole. */
  replace(caller: Caller, settings: StoredUserSettings): Promise<Accepted> {
    return this.#change(caller, (value) => ({ ...value, ...settings }));
  }

  /** null restores what is in force where nothing is set. */
  patch(caller: Caller, patch: UserSettingsPatch): Promise<Accepted> {
    return this.#change(caller, (value) => merged(value, patch) as StoredUserSettings);
  }

  #change(caller: Caller, change: (value: StoredUserSettings) => StoredUserSettings): Promise<Accepted> {
    const { id } = caller.principal;
    return retrying(async () => {
      const found = await this.store.get(userSettings, id, caller.signal);
      const { revision, value } = found ?? { revision: 0, value: {} };
      caller.precondition?.({ revision, wishRevision: revision });
      const next = change(value);
      checkUserSettings(next);
      const same = isDeepStrictEqual(next, value);
      const text = JSON.stringify(presentUserSettings(next));
      const accepted = { id, text, revision: same ? revision : revision + 1 };
      const kept = caller.storeResponse?.(accepted) ?? [];
      if (same) return accepted;
      const resource = { type: 'user_settings', id };
      const audit = await audited(this.store, caller, 'user_settings.update', resource, value, next);
      const write = found === undefined ? insert(userSettings, id, next) : replace(userSettings, found, next);
      await this.store.write([write, ...audit, ...kept], caller.signal).catch(readAgain);
      return accepted;
    });
  }
}

/** The first settings of a user, made twice at a time: the slower one finds the others. */
function readAgain(error: unknown): never {
  if (!(error instanceof StoreConflict) || error.kind !== 'unique') throw error;
  throw new StoreConflict('revision', error.collection, error.key);
}
