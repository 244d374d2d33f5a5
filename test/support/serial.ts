/** A shell in a tiny guest, over its serial console. */
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { waitFor } from './region.js';

export class SerialShell {
  readonly #folder: string;
  #socket: Socket;
  #text = '';
  #seen = '';
  #calls = 0;
  #next = 0;
  /** When the guest was last heard, or the connection made. */
  #heard = 0;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#socket = this.#connect();
  }

  /** Logs in as root on the console of the server whose folder this is. */
  static async open(folder: string): Promise<SerialShell> {
    const shell = new SerialShell(folder);
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

  /** The region moves the port to another socket when it begins a new log. */
  #connect(): Socket {
    const [name = 'serial.sock'] = readdirSync(this.#folder).filter((one) => one.startsWith('serial'));
    const socket = connect(join(this.#folder, name));
    this.#heard = Date.now();
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.#heard = Date.now();
      this.#text += chunk;
      this.#seen += chunk;
    });
    socket.on('error', () => undefined);
    return socket;
  }

  /** Types a name at a login prompt, and otherwise, now and then, an empty line, which brings another prompt. */
  #reached(): boolean {
    // The shell may ask the terminal where its cursor is.
    if (this.#text.replaceAll('\x1b[6n', '').endsWith('# ')) return true;
    if (this.#socket.destroyed || Date.now() - this.#heard > 15_000) {
      this.#socket.destroy();
      this.#socket = this.#connect();
    }
    const asked = this.#text.endsWith('login: ');
    if (asked || Date.now() >= this.#next) {
      this.#socket.write(asked ? 'root\n' : '\n');
      this.#next = Date.now() + 2000;
      this.#text = '';
    }
    return false;
  }
}
