/** copse completion: scripts for shells, made from the commands themselves. */
import type { Command } from 'commander';
import { closest } from 'fastest-levenshtein';
import { usageError } from './failure.js';
import { print } from './terminal.js';
import { described } from './verb.js';

const shells = ['bash', 'zsh', 'fish'];

/** For each command, by its words, what can follow. */
type Words = Map<string, string[]>;

/** `load` adds the verbs of a noun, which are not there until it is used. */
export function setUp(command: Command, program: Command, load: (noun: Command) => Promise<void>): void {
  described(command, 'print a completion script for a shell', [
    'source <(copse completion bash)',
    'copse completion fish > ~/.config/fish/completions/copse.fish',
  ])
    .argument('<shell>', shells.join(', '))
    .action(async (shell: string) => {
      if (!shells.includes(shell))
        throw usageError(`No completion for "${shell}".`, `Did you mean ${closest(shell, shells)}?`);
      for (const noun of program.commands) await load(noun);
      const words: Words = new Map();
      collectWords(program, '', words);
      await print(shell === 'fish' ? fish(words) : bash(words, shell === 'zsh'));
    });
}

function collectWords(command: Command, path: string, words: Words): void {
  const names = command.commands.map((below) => below.name());
  const options = command.options.flatMap(({ long }) => (long === undefined ? [] : [long]));
  words.set(path, [...names, ...options, '--help']);
  for (const below of command.commands) collectWords(below, `${path} ${below.name()}`.trim(), words);
}

function bash(words: Words, isZsh: boolean): string {
  const cases = [...words].map(([path, next]) => `    '${path}') words='${next.join(' ')}' ;;`).join('\n');
  const zsh = isZsh ? 'autoload -U +X bashcompinit && bashcompinit\n' : '';
  return `${zsh}_copse() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    case "\${path:+$path }$word" in
${knownPaths(words)}
    esac
  done
  case "$path" in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _copse copse
`;
}

function knownPaths(words: Words): string {
  const paths = [...words.keys()].filter((path) => path !== '').map((path) => `'${path}'`);
  return `      ${paths.join('|')}) path="\${path:+$path }$word" ;;`;
}

function fish(words: Words): string {
  const lines = [...words].map(([path, next]) => {
    const seen = path.split(' ').filter((word) => word !== '');
    const condition =
      seen.length === 0
        ? '__fish_use_subcommand'
        : seen.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    return `complete -c copse -f -n '${condition}' -a '${next.join(' ')}'`;
  });
  return `${lines.join('\n')}\n`;
}
