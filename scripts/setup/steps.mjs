// Runs a command as a named step: shows progress while it runs, and its output only if it fails.
import { spawn } from 'node:child_process';

const tail = 30;

export class StepFailed extends Error {}

/** Shows activity: a rewritten line on a terminal, a line every five seconds elsewhere. */
class Progress {
  #started = Date.now();
  #title;
  #last = '';
  #shown = 0;
  #timer;

  constructor(title) {
    this.#title = title;
    process.stdout.write(process.stdout.isTTY ? `  ${title} …` : `  ${title} …\n`);
    this.#timer = setInterval(() => this.#show(), 1000);
  }

  note(line) {
    this.#last = line.slice(0, 70);
  }

  #show() {
    const seconds = Math.round((Date.now() - this.#started) / 1000);
    if (process.stdout.isTTY)
      process.stdout.write(`\r\u001b[2K  ${this.#title} … ${seconds} s  ${this.#last}`);
    else if (seconds - this.#shown >= 5) {
      this.#shown = seconds;
      process.stdout.write(`    ${seconds} s  ${this.#last}\n`);
    }
  }

  end(word) {
    clearInterval(this.#timer);
    const seconds = ((Date.now() - this.#started) / 1000).toFixed(1);
    process.stdout.write(
      `${process.stdout.isTTY ? '\r\u001b[2K' : ''}  ${this.#title}: ${word} (${seconds} s)\n`,
    );
  }
}

/** Resolves if the command succeeds; otherwise rejects with the end of its output. */
export function step(title, command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const progress = new Progress(title);
    const lines = [];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const take = (chunk) => {
      for (const line of String(chunk).split(/[\r\n]+/)) {
        if (line.trim() === '') continue;
        lines.push(line);
        if (lines.length > tail) lines.shift();
        progress.note(line.trim());
      }
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const fail = (reason) => {
      progress.end('FAILED');
      reject(new StepFailed(`${title}: ${reason}\n${lines.map((line) => `    ${line}`).join('\n')}`));
    };
    child.once('error', (error) => fail(error.message));
    child.once('close', (code, signal) => {
      if (code !== 0) fail(`${command} ended with ${signal ?? code}`);
      else {
        progress.end('done');
        resolve();
      }
    });
  });
}

export function say(text) {
  process.stdout.write(`${text}\n`);
}
