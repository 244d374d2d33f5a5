/** Onboarding over the API: while nobody exists, whoever has the token that the start has printed. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { ApiError } from '../model/error.js';
import type { SetupRequest, SetupResult } from '../model/setup.js';
import { createFirstSuperUser, isSetUp } from './first-superuser.js';
import { secretFor } from './secret.js';
import type { SettingsData } from './settings.js';
import type { Store } from './store/port.js';
import { newApiKey, type UserData } from './user.js';

/** The same for all processes of a site, and at every start. */
export async function setupTokenOf(store: Store): Promise<string> {
  return `copse_setup_${(await secretFor(store, 'setup')).toString('base64url')}`;
}

export class OnboardingData {
  readonly #store: Store;
  readonly #users: UserData;
  readonly #settings: SettingsData;
  readonly #enabled: boolean;
  /** Nobody ever ceases to exist. */
  #done = false;

  constructor(store: Store, users: UserData, settings: SettingsData, enabled: boolean) {
    this.#store = store;
    this.#users = users;
    this.#settings = settings;
    this.#enabled = enabled;
  }

  async isAllowed(): Promise<boolean> {
    if (!this.#enabled || this.#done) return false;
    this.#done = await isSetUp(this.#store);
    return !this.#done;
  }

  /** The only response that has the key. `unauthorized`: what to throw for a wrong token. */
  async create(
    request: SetupRequest,
    { token, requestId }: { token: string | undefined; requestId: string },
    unauthorized: (given: boolean) => Error,
  ): Promise<SetupResult> {
    if (!(await this.isAllowed())) throw alreadySetUp();
    if (token === undefined || !isEqual(token, await setupTokenOf(this.#store)))
      throw unauthorized(token !== undefined);
    const key = newApiKey();
    const made = await createFirstSuperUser(this.#store, {
      ...request,
      by: 'api',
      requestId,
      key,
      hash: this.#users.hash(key),
      superUsers: this.#settings.present.configured.superUsers,
    });
    this.#done = true;
    if (made === undefined) throw alreadySetUp();
    await this.#settings.reload();
    return made;
  }
}

function alreadySetUp(): ApiError {
  return new ApiError('already_exists', 'The site has been set up already.');
}

/** Compared by their hashes, so that neither length nor beginning shows in the time. */
function isEqual(one: string, other: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
