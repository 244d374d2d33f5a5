/** Checks whether a database contains anything, without creating it. */
import type { CollectionSpec } from '../port.js';
import { connect } from './connection.js';

/** Whether any of the collections has a document. Rejects with StoreUnreachable. */
export async function holdsAny(
  address: string,
  collections: readonly CollectionSpec<never>[],
): Promise<boolean> {
  const { client, database } = await connect(address);
  try {
    const db = client.db(database);
    const found = await Promise.all(
      collections.map(({ name }) => db.collection(name).findOne({}, { projection: { _id: 1 } })),
    );
    return found.some((one) => one !== null);
  } finally {
    await client.close();
  }
}
