/** Detects that a guest has booted, so that its slot in the start queue goes to the next one. */
import { cpus } from 'node:os';
import { PromptWatch } from './console-log.js';
import type { Emulator } from './emulator.js';
import { cpuSeconds } from './process-identity.js';
import { pause } from '../../platform/time.js';

/** Milliseconds. */
const interval = 250;
const idleAfter = 3000;
const idleSpan = 1000;
/** Fraction of a core below which a guest counts as idle. */
const idleShare = 0.3;
/** Fraction of a core that the host must have had to spare: on a busy host a guest is not idle but starved. */
const spareShare = 0.2;

/** Total idle time of the host's cores since boot, in milliseconds. */
function hostIdle(): number {
  return cpus().reduce((sum, { times }) => sum + times.idle, 0);
}

/**
 * Resolves when the guest shows a login prompt, or is idle while the host is not busy (its console may be elsewhere),
 * or has ended, or `limit` ms have passed. `from`: size of the console log before the boot. Rejects only with the
 * signal's reason.
 */
export async function waitBooted(
  emulator: Emulator,
  folder: string,
  options: { from: number; limit: number; signal: AbortSignal },
): Promise<'prompt' | 'idle' | 'ended' | 'limit'> {
  const begin = Date.now();
  const prompt = new PromptWatch(folder, options.from);
  const samples: { at: number; cpu: number; spare: number }[] = [];
  for (;;) {
    if (await prompt.seen()) return 'prompt';
    const now = Date.now();
    const cpu = cpuSeconds(emulator.identity);
    if (cpu === undefined) return 'ended';
    if (now - begin >= options.limit) return 'limit';
    const spare = hostIdle();
    samples.push({ at: now, cpu, spare });
    // The most recent sample that is old enough.
    while ((samples[1]?.at ?? Infinity) <= now - idleSpan) samples.shift();
    const old = samples[0];
    if (old !== undefined && now - old.at >= idleSpan && now - begin >= idleAfter) {
      const span = now - old.at;
      const idle = (cpu - old.cpu) * 1000 < idleShare * span;
      if (idle && spare - old.spare > spareShare * span) return 'idle';
    }
    await pause(interval, { signal: options.signal, background: true });
  }
}
