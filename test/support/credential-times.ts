/** How long refusals of wrong credentials take, by kind: what an attacker could measure. */
import { Api } from './conform.js';

/** Milliseconds that each of several kinds of attempts takes; the kinds take turns, so that load hits all alike. */
export async function refusalTimes(
  url: string,
  kinds: readonly (() => Record<string, string>)[],
  rounds: number,
): Promise<number[][]> {
  const api = new Api(url);
  const times: number[][] = kinds.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < kinds.length; turn += 1) {
      const index = (turn + round) % kinds.length;
      const headers = kinds[index]?.() ?? {};
      const begin = performance.now();
      const { status } = await api.get('/api/version', { headers });
      times[index]?.push(performance.now() - begin);
      if (status !== 401) throw new Error(`a wrong credential was answered with ${status}`);
    }
  }
  return times;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
