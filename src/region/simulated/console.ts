/** The simulated console: the same text for the same server and number of boots. */
import { beginOf, type ConsoleOutput, type ConsolePart, partOf } from '../../model/console.js';
import type { CloudServer } from './cloud.js';

const keptBoots = 20;

function bootText(server: CloudServer, boot: number): string {
  const lines = [
    `[    0.000000] Linux version 6.1.0-simulated (boot ${boot})`,
    `[    0.000000] Command line: console=ttyS0 quiet`,
    `[    0.412000] virtio_blk virtio0: [vda] 2097152 512-byte logical blocks`,
    `[    0.867000] EXT4-fs (vda): mounted filesystem`,
    `simulated: instance ${server.id}`,
    `user-data: exit 0`,
    '',
    `Simulated Linux 1 ttyS0`,
    '',
  ];
  return lines.map((line) => `${line}\n`).join('') + `${server.hostname} login: `;
}

/** All stored boots, each ending in a login prompt, after the offset at which they begin; nothing before the first. */
function consoleOf(server: CloudServer): { bytes: Buffer; offset: number } {
  const done = server.powerState === 'Building' ? server.boots - 1 : server.boots;
  const first = Math.max(1, done - keptBoots + 1);
  let offset = 0;
  for (let boot = 1; boot < first; boot += 1) offset += Buffer.byteLength(bootText(server, boot)) + 1;
  const texts: string[] = [];
  for (let boot = first; boot <= done; boot += 1) texts.push(bootText(server, boot));
  return { bytes: Buffer.from(texts.join('\n')), offset };
}

export function consolePart(server: CloudServer, { lines, start }: ConsolePart): ConsoleOutput {
  const { bytes, offset } = consoleOf(server);
  if (start === undefined) return partOf(bytes, offset, lines);
  const begin = beginOf(start, offset, offset + bytes.length);
  return partOf(bytes.subarray(begin - offset), begin, lines);
}
