/** Transactions, where the server has them: replica sets and sharded clusters. */
import {
  type ClientSession,
  type Db,
  type MongoClient,
  MongoError,
  type TransactionOptions,
  WriteConcern,
} from 'mongodb';
import { isAway } from './failure.js';

const options: TransactionOptions = {
  readConcern: { level: 'snapshot' },
  writeConcern: new WriteConcern('majority'),
  readPreference: 'primary',
};

const commitTries = 5;
const probeTries = 3;

export class TransactionRunner {
  readonly #client: MongoClient;

  constructor(client: MongoClient) {
    this.#client = client;
  }

  /** True if the work is committed, false if it conflicted with another transaction. */
  async run(work: (session: ClientSession) => Promise<void>): Promise<boolean> {
    const session = this.#client.startSession();
    try {
      session.startTransaction(options);
      try {
        await work(session);
      } catch (error) {
        await session.abortTransaction().catch(() => undefined);
        // A lost connection is transient too, but leaves the outcome unknown.
        if (hasLabel(error, 'TransientTransactionError') && !hasLabel(error, 'NetworkError')) {
          if ((error as MongoError).name !== 'MongoNetworkError') return false;
        }
        throw error;
      }
      await commit(session);
      return true;
    } finally {
      await session.endSession().catch(() => undefined);
    }
  }
}

async function commit(session: ClientSession): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      await session.commitTransaction();
      return;
    } catch (error) {
      if (!hasLabel(error, 'UnknownTransactionCommitResult') || tried === commitTries) throw error;
    }
  }
}

function hasLabel(error: unknown, label: string): boolean {
  return error instanceof MongoError && error.hasErrorLabel(label);
}

/** A runner if the server is a replica set or a cluster and a trial transaction succeeds. */
export async function probeTransactions(client: MongoClient, db: Db): Promise<TransactionRunner | undefined> {
  const hello = await db.command({ hello: 1 });
  if (typeof hello['setName'] !== 'string' && hello['msg'] !== 'isdbgrid') return undefined;
  const runner = new TransactionRunner(client);
  const probes = db.collection<{ _id: string; count: number }>('copse_probe');
  await probes.updateOne({ _id: 'probe' }, { $setOnInsert: { count: 0 } }, { upsert: true });
  for (let tried = 1; ; tried += 1) {
    try {
      await runner.run(async (session) => {
        await probes.updateOne({ _id: 'probe' }, { $inc: { count: 1 } }, { session });
      });
      return runner;
    } catch (error) {
      if (!(error instanceof MongoError) || hasLabel(error, 'TransientTransactionError')) throw error;
      // An engine that speaks the protocol but has no transactions says so at the first statement.
      if (!isAway(error) || tried === probeTries) return undefined;
      // An outage says nothing about transactions: operations without them fail too.
      await probes.updateOne({ _id: 'probe' }, { $inc: { count: 1 } });
    }
  }
}
