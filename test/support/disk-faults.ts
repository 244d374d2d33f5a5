/** Calls a server with a faulty disk, and accepts any response. */
import type { Instance } from '../../src/model/instance.js';
import { checkedFetch } from './conform.js';
import { adminKey, type Offer, type ServerProcess } from './process.js';

export interface Refusal {
  code: string;
  message: string;
  retryable: boolean;
}

/** A region whose tasks end at once. */
export const simulated = {
  args: ['--region', 'simulated'],
  environment: { COPSE_SIMULATED_DELAY: '5', COPSE_LIMITS_REQUESTS: '1000000', COPSE_TASKS_POLL: '0.5' },
};

export async function create(server: ServerProcess, name: string, offer: Offer) {
  const answer = await checkedFetch(`${server.url}/api/v2/instances`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${adminKey}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ metadata: { name }, spec: offer }),
  });
  return {
    status: answer.status,
    headers: answer.headers,
    body: (await answer.json()) as Instance & Refusal,
  };
}

/** The status of a read of the instance. */
export async function shown(server: ServerProcess, id: string): Promise<number> {
  const headers = { Authorization: `Bearer ${adminKey}` };
  return (await checkedFetch(`${server.url}/api/v2/instances/${id}`, { headers })).status;
}
