/** The command line as users run it: a process with its own environment. */
import { spawn } from 'node:child_process';
import { adminKey, mainFile } from './process.js';

export interface CliResult {
  status: number | string;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  environment?: Record<string, string>;
  cwd?: string;
  input?: string;
  /** Called with all of standard error so far. */
  onStderr?: (text: string, child: ReturnType<typeof spawn>) => void;
  /** Called with each part of standard output. */
  onStdout?: (text: string, child: ReturnType<typeof spawn>) => void;
}

/** Traces of internals that no output may show. */
const inside = /\n\s+at |node:internal|\.js:\d+/;

export class Cli {
  readonly #environment: Record<string, string>;

  /** `home` is a folder for its contexts; `url` the server, with the superuser's key. */
  constructor(home: string, url?: string) {
    const others = Object.entries(process.env).filter(([name]) => !name.startsWith('COPSE_'));
    this.#environment = {
      ...(Object.fromEntries(others) as Record<string, string>),
      XDG_CONFIG_HOME: home,
      ...(url === undefined ? {} : { COPSE_URL: url, COPSE_API_KEY: adminKey }),
    };
  }

  /** Runs `copse` with these arguments. Fails if the output shows a stack trace. */
  async run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    const { environment = {}, cwd, input = '', onStderr, onStdout } = options;
    const child = spawn(process.execPath, [mainFile, ...args], {
      cwd,
      env: { ...this.#environment, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    const result: CliResult = { status: '', stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => {
      result.stdout += String(chunk);
      onStdout?.(String(chunk), child);
    });
    child.stderr.on('data', (chunk) => {
      result.stderr += String(chunk);
      onStderr?.(result.stderr, child);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    result.status = await new Promise((resolve) => {
      child.once('close', (code, signal) => resolve(signal ?? code ?? 0));
    });
    if (inside.test(result.stdout + result.stderr)) throw new Error(`a stack trace: ${result.stderr}`);
    return result;
  }

  /** The same for what must succeed: its standard output. */
  async out(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(args);
    if (status !== 0) throw new Error(`copse ${args.join(' ')} ended with ${status}: ${stderr}`);
    return stdout;
  }
}
