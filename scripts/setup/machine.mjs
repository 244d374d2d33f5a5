// What the machine needs: Node, npm packages and, from Debian or Ubuntu, the emulator and the tools of the image build.
import { spawnSync } from 'node:child_process';
import { lstatSync, accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { say, step, StepFailed } from './steps.mjs';

const root = join(import.meta.dirname, '..', '..');

function has(command) {
  return `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Debian packages and their purpose: any one of the commands is enough. */
const needed = [
  [['qemu-system-x86_64'], 'qemu-system-x86', 'runs the virtual machines'],
  [['qemu-img'], 'qemu-utils', 'makes their disks'],
  [['genisoimage', 'mkisofs', 'xorrisofs'], 'genisoimage', 'makes their seed disks'],
  [['cpio'], 'cpio', 'packs the guest image'],
  [['mke2fs'], 'e2fsprogs', 'packs the guest image'],
  ...(process.getuid?.() === 0
    ? []
    : [[['fakeroot'], 'fakeroot', 'packs the guest image without being root']]),
];

/** For better-sqlite3, if its prebuilt file cannot be downloaded. */
const compiler = [
  [['g++'], 'g++', 'compiles the database driver'],
  [['make'], 'make', 'compiles the database driver'],
  [['python3'], 'python3', 'compiles the database driver'],
];

const missing = (list) => list.filter(([commands]) => !commands.some(has));

/** Installs the packages; without permission, prints the command that does and rejects. */
async function install(list) {
  if (list.length === 0) return;
  const names = [...new Set(list.map(([, name]) => name))];
  for (const [, name, reason] of list) say(`  missing: ${name} (${reason})`);
  const args = ['install', '-y', '--no-install-recommends', ...names];
  const isRoot = process.getuid?.() === 0;
  const mayRoot = isRoot || (has('sudo') && spawnSync('sudo', ['-n', 'true']).status === 0);
  if (!has('apt-get') || !mayRoot) {
    throw new StepFailed(
      `These packages are needed and cannot be installed from here. Run this once, then try again:\n\n  ${has('apt-get') ? 'sudo apt-get update && sudo apt-get' : 'your package manager:'} ${args.join(' ')}\n`,
    );
  }
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const as = (words) => (isRoot ? [words[0], words.slice(1)] : ['sudo', ['-n', ...words]]);
  await step('read the package lists', ...as(['apt-get', 'update', '-q']), { env: environment });
  await step(`install ${names.join(', ')}`, ...as(['apt-get', ...args]), { env: environment });
}

export async function ensureSystemPackages() {
  await install(missing(needed));
}

function installed() {
  const stamp = join(root, 'node_modules', '.package-lock.json');
  const sqlite = join(root, 'node_modules/better-sqlite3/build/Release/better_sqlite3.node');
  return (
    existsSync(stamp) &&
    existsSync(sqlite) &&
    statSync(stamp).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs
  );
}

export async function ensureNpmPackages() {
  if (installed()) return;
  const modules = join(root, 'node_modules');
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new StepFailed(
      `${modules} is a link, and npm ci would empty what it leads to. Install there, or remove the link.`,
    );
  }
  const run = () => step('install the npm packages', 'npm', ['ci', '--no-audit', '--no-fund'], { cwd: root });
  try {
    await run();
  } catch (error) {
    const tools = missing(compiler);
    if (tools.length === 0) throw error;
    say('  npm ci failed, perhaps because the database driver must be compiled here:');
    await install(tools);
    await run();
  }
}

export function checkNode() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new StepFailed(`Node ${process.versions.node} is too old; ${engines.node} is needed.`);
  }
}
