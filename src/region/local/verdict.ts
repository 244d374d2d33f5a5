/** What the end of a machine means, given how it ended and its desired state. Pure. */
import type { Ending } from './journal.js';
import type { ServerRecord } from './record.js';

export type Verdict =
  { restart: true } | { restart: false; powerState: 'Stopped' | 'Error'; message?: string };

/** `sameHostBoot`: whether the host has been up since the machine was started. */
export function judge(
  record: Pick<ServerRecord, 'wanted' | 'rebooting'>,
  ending: Ending,
  sameHostBoot: boolean,
): Verdict {
  if (record.wanted === 'stopped') return { restart: false, powerState: 'Stopped' };
  // A reboot is a stop and a start; a process that finds the machine between the two finishes it.
  if (record.rebooting) return { restart: true };
  switch (ending) {
    case 'guest-reset':
      return { restart: true };
    case 'guest-shutdown':
      return { restart: false, powerState: 'Stopped' };
    case 'host-quit':
    case 'host-signal':
      return { restart: false, powerState: 'Stopped', message: 'The machine was stopped on its host.' };
    case 'other':
      return { restart: false, powerState: 'Error', message: 'The emulator ended the machine.' };
    case 'unknown':
      return {
        restart: false,
        powerState: 'Error',
        message: 'The machine ended; its host could not read the reason.',
      };
    case 'crash':
      return sameHostBoot
        ? { restart: false, powerState: 'Error', message: 'The machine ended unexpectedly.' }
        : { restart: false, powerState: 'Stopped', message: 'The host was restarted.' };
  }
}

/** What a run state of QEMU, or `unheard`, means to users. Undefined: nothing worth reporting. */
export function troubleOf(status: string): string | undefined {
  switch (status) {
    case 'guest-panicked':
      return 'The kernel of the guest panicked.';
    case 'io-error':
      return "The host cannot write the server's disk; it may be full.";
    case 'internal-error':
      return 'The emulator met an error that it cannot recover from.';
    case 'unheard':
      return "The machine's monitor does not respond.";
    default:
      return undefined;
  }
}

export type Fact = Partial<Pick<ServerRecord, 'wanted' | 'continued' | 'message'>> & {
  powerState: ServerRecord['powerState'];
};

/**
 * The state of a machine after a failed operation, so that it is not left in a transitional one. `status`: QEMU's run
 * state, or `unheard`; undefined if there is no process. `givenUp`: the operation is no longer wanted. Undefined: as
 * recorded.
 */
export function remains(
  record: Pick<ServerRecord, 'wanted' | 'continued' | 'powerState'>,
  status: string | undefined,
  givenUp: boolean,
): Fact | undefined {
  const notStarted = 'The machine could not be started.';
  if (status === 'prelaunch') return { powerState: 'Error', message: notStarted };
  // The operation that was to end it has failed, and is undone.
  if (status === 'running') return { wanted: 'running', continued: true, powerState: 'Running' };
  if (status !== undefined) {
    return {
      wanted: 'running',
      powerState: 'Error',
      message: troubleOf(status) ?? 'The machine is not running.',
    };
  }
  if (['Stopped', 'Error', 'Pending'].includes(record.powerState)) return undefined;
  if (record.wanted === 'stopped') return { powerState: 'Stopped' };
  if (!givenUp) return { powerState: 'Error', message: notStarted };
  // A server that never ran still waits for its first start.
  return record.continued ? { wanted: 'stopped', powerState: 'Stopped' } : { powerState: 'Pending' };
}
