/** The help of `copse` itself, which fits one screen. */
import type { Command } from 'commander';

const width = 78;

function wrapped(title: string, names: readonly string[]): string {
  const lines: string[] = [];
  let line = title;
  for (const [index, name] of names.entries()) {
    const word = ` ${name}${index === names.length - 1 ? '' : ','}`;
    if (line.length + word.length > width) {
      lines.push(line);
      line = ' '.repeat(title.length);
    }
    line += word;
  }
  return [...lines, line].join('\n');
}

/** `client`: the commands that call a server, each on a line of its own. */
export function rootHelp(client: readonly Command[], server: readonly Command[]): string {
  const lines = client.map((command) => `  ${command.name().padEnd(11)}${command.description()}`);
  return `${[
    'Usage: copse NOUN VERB [arguments] [options]     copse NOUN --help: its verbs',
    ...lines,
    wrapped(
      'On the machine of the server:',
      server.map((command) => command.name()),
    ),
    'Server and key: a context, COPSE_URL and COPSE_API_KEY, or the local server.',
  ].join('\n')}\n`;
}
