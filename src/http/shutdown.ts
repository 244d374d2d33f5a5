/** What ends the process, and how: in order after a signal or an uncaught error, and always within a time limit. */
import type { Log } from '../model/log.js';

/** Signals that cause an orderly shutdown. SIGHUP is sent when the terminal closes. */
const ending = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const;

/** A second one of these ends the process at once. */
const urgent = ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const;

/** Milliseconds during which a second signal may be the same Ctrl-C, forwarded by a parent such as npm. */
const sameSignal = 1000;

export interface ShutdownLog extends Log {
  fatal(details: object, message: string): void;
}

/**
 * By default, SIGUSR1 makes Node open its debugger to everyone on this machine, and SIGUSR2 ends the process, although
 * the sender probably only wants the log to be reopened.
 */
export function ignoreUserSignals(): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
}

/** Standard error is a side channel: its reader may be gone, or its disk full. */
export function surviveStandardError(): void {
  process.stderr.on('error', () => undefined);
}

export class ProcessLifetime {
  readonly #log: ShutdownLog;
  #stray = 0;
  #end: ((exitCode: number) => void) | undefined;

  constructor(log: ShutdownLog) {
    this.#log = log;
    process.on('unhandledRejection', (error) => {
      this.#stray += 1;
      this.#log.error({ err: error }, 'unhandled promise rejection; the server keeps running');
    });
    process.on('uncaughtException', (error) => {
      this.#stray += 1;
      this.#log.fatal({ err: error }, 'uncaught exception; shutting down');
      if (this.#end === undefined) process.exit(1);
      this.#end(1);
    });
  }

  /** Number of errors that nothing handled. */
  stray(): number {
    return this.#stray;
  }

  /** Resolves with the exit code when the process is asked to stop, or has to. */
  ended(): Promise<number> {
    return new Promise((resolve) => {
      this.#end = resolve;
      for (const signal of ending) {
        process.once(signal, () => {
          this.#log.info({ signal }, 'stopping; guests keep running');
          resolve(0);
        });
      }
    });
  }

  /** Runs the orderly shutdown. A second signal, or the limit in milliseconds, ends the process at once. */
  async stop(work: () => Promise<void>, limit: number): Promise<void> {
    const first = Date.now();
    for (const signal of urgent) {
      process.on(signal, () => {
        if (Date.now() - first > sameSignal) process.exit(1);
      });
    }
    // A closing terminal sends it twice: once from its shell, once from the system. By default it would end the process
    // at once.
    process.on('SIGHUP', () => undefined);
    const late = setTimeout(() => {
      this.#log.error({ ms: limit }, 'the shutdown took too long; exiting at once');
      process.exit(1);
    }, limit);
    await work();
    clearTimeout(late);
    this.#log.info({}, 'stopped');
  }
}
