/** Random secrets shared by all processes on one store, generated on first use. */
import { createHmac, randomBytes } from 'node:crypto';
import { type CollectionSpec, insert, type Store, StoreConflict } from './store/port.js';

interface SecretRecord {
  /** base64 */
  value: string;
}

export const secrets: CollectionSpec<SecretRecord> = {
  name: 'secrets',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

export type SecretPurpose = 'apikey' | 'cursor' | 'plan' | 'session' | 'setup' | 'worker';

/** The secret of a purpose: 32 random bytes, the same for every process and every start. */
export async function secretFor(store: Store, purpose: SecretPurpose): Promise<Buffer> {
  const found = await store.get(secrets, purpose);
  if (found !== undefined) return Buffer.from(found.value.value, 'base64');
  try {
    await store.write([insert(secrets, purpose, { value: randomBytes(32).toString('base64') })]);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
  }
  return secretFor(store, purpose);
}

/** HMAC-SHA-256: API keys are 256 random bits, so a slow password hash would add cost but no security. */
export function keyHash(secret: Buffer, key: string): string {
  return createHmac('sha256', secret).update(key).digest('hex');
}
