/** A site that nobody has set up yet, with the header for the token that its start prints. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp } from '../../src/app.js';
import { Api, learnDocument } from './conform.js';
import { RecordingLog } from './log.js';
import { testConfig } from './server.js';
import { testAddress } from './store.js';

export async function onFirstSite<R>(
  act: (api: Api, headers: { Authorization: string }) => Promise<R>,
): Promise<R> {
  const dataDir = mkdtempSync(join(tmpdir(), 'copse-first-'));
  const store = await testAddress(undefined, dataDir);
  let token = '';
  const options = { store: store.address, adminKey: '', auth: { onboarding: true } };
  const app = await startApp(testConfig(dataDir, options), {
    log: new RecordingLog(),
    onSetupToken: (printed) => (token = printed),
  });
  try {
    await learnDocument(app.url);
    return await act(new Api(app.url), { Authorization: `Bearer ${token}` });
  } finally {
    await app.stop();
    await store.clear();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
