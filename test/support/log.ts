/** A log that stores its entries, so that a test can check what must not have been logged. */
import { toApiError } from '../../src/model/error.js';
import type { Log } from '../../src/model/log.js';

export interface LogEntry {
  level: 'debug' | 'info' | 'warn' | 'error';
  details: Record<string, unknown>;
  message: string;
}

export class RecordingLog implements Log {
  readonly entries: LogEntry[];
  readonly #bindings: object;

  constructor(entries: LogEntry[] = [], bindings: object = {}) {
    this.entries = entries;
    this.#bindings = bindings;
  }

  debug(details: object, message: string): void {
    this.#add('debug', details, message);
  }

  info(details: object, message: string): void {
    this.#add('info', details, message);
  }

  warn(details: object, message: string): void {
    this.#add('warn', details, message);
  }

  error(details: object, message: string): void {
    this.#add('error', details, message);
  }

  child(bindings: object): Log {
    return new RecordingLog(this.entries, { ...this.#bindings, ...bindings });
  }

  /** What only a bug would log: an internal error of a request, or work that could not be recorded. */
  defects(): string[] {
    return this.entries
      .filter(({ level }) => level === 'error')
      .filter(({ message }) => message !== 'task failed')
      .filter(
        ({ message, details }) =>
          message !== 'request failed' || toApiError(details['err']).code === 'internal',
      )
      .map(({ message, details }) => `${message}: ${describe(details['err'])}`);
  }

  #add(level: LogEntry['level'], details: object, message: string): void {
    this.entries.push({ level, details: { ...this.#bindings, ...details }, message });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(error);
}
