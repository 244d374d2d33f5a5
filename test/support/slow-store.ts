/**
 * Mocha's root hooks for runs on a store behind a network: every test may take several times as long. Without a server
 * the whole run is skipped, with a prominent message.
 */
import type { Context } from 'mocha';
import { mongoMissing, stopMongo } from './mongo.js';

const slowness = 6;

export const mochaHooks = {
  beforeAll(this: Context): void {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, all on MongoDB: ${missing}\n`);
    this.skip();
  },
  beforeEach(this: Context): void {
    const test = this.currentTest;
    if (test !== undefined) test.timeout(test.timeout() * slowness);
  },
  afterAll: stopMongo,
};
