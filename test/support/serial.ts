/** A shell in a tiny guest, over its serial console. */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { waitFor } from './region.js';

export class SerialShell {
  readonly #socket: Socket;
  #text = '';
  #seen = '';
  #calls = 0;
  #next = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.#text += chunk;
      this.#seen += chunk;
    });
    socket.on('error', () => undefined);
  }

  /** Logs in as root on the console of the server whose folder this is. */
  static async open(folder: string): Promise<SerialShell> {
    const shell = new SerialShell(connect(join(folder, 'serial.sock')));
    await waitFor('a shell is there', () => shell.#reached(), 180_000).catch((error: unknown) => {
      throw new Error(`no shell; the guest last wrote ${JSON.stringify(shell.#seen.slice(-500))}`, {
        cause: error,
      });
    });
    return shell;
  }

  /** What the command writes. Rejects if it fails. */
  async run(command: string): Promise<string> {
    this.#calls += 1;
    const [begin, end] = [`begin${this.#calls}:`, `end${this.#calls}:`];
    this.#text = '';
    // The echo of the line has quotes in the marks, its output does not.
    this.#socket.write(`echo 'be''gin${this.#calls}:'; ${command}; echo 'en''d${this.#calls}:'$?\n`);
    await waitFor(`the guest has run ${command}`, () => new RegExp(`${end}\\d+\\s`).test(this.#text));
    const [, output = '', code = ''] = new RegExp(`${begin}\\s*([^]*?)${end}(\\d+)`).exec(this.#text) ?? [];
    if (code !== '0') throw new Error(`${command} ended with ${code}: ${output}`);
    return output.replaceAll('\r', '').trim();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Types a name at a login prompt, and otherwise, now and then, an empty line, which brings another prompt. */
  #reached(): boolean {
    // The shell may ask the terminal where its cursor is.
    if (this.#text.replaceAll('\x1b[6n', '').endsWith('# ')) return true;
    const asked = this.#text.endsWith('login: ');
    if (asked || Date.now() >= this.#next) {
      this.#socket.write(asked ? 'root\n' : '\n');
      this.#next = Date.now() + 2000;
      this.#text = '';
    }
    return false;
  }
}
