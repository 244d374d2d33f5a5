/** Progress: one line that is rewritten on a terminal, or a new line each time elsewhere. */
export class StatusLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #started = Date.now();
  #last = '';

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream;
  }

  show(text: string): void {
    const seconds = ((Date.now() - this.#started) / 1000).toFixed(0);
    if (this.#stream.isTTY) this.#stream.write(`\r\u001b[2K  ${text} (${seconds} s)`);
    else if (text !== this.#last) this.#stream.write(`  ${text} (${seconds} s)\n`);
    this.#last = text;
  }

  done(text: string): void {
    this.show(text);
    if (this.#stream.isTTY) this.#stream.write('\n');
  }
}
