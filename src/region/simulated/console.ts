/** The simulated console: the same text for the same server and number of boots. */
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

/** All stored boots, each ending in a login prompt; nothing before the first boot is done. */
export function consoleText(server: CloudServer): string {
  const done = server.powerState === 'Building' ? server.boots - 1 : server.boots;
  const texts: string[] = [];
  for (let boot = Math.max(1, done - keptBoots + 1); boot <= done; boot += 1)
    texts.push(bootText(server, boot));
  return texts.join('\n');
}
