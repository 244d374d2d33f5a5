/**
 * QEMU's command line. Nothing that a user wrote gets onto it: ids are made by us, the rest by the operator. Files of
 * the server are named relative to its folder, QEMU's working directory, so that neither a long path (unix sockets end
 * at 107 bytes) nor a comma in one (QEMU's separator) can hurt.
 */
import type { BootFiles } from './catalog.js';

export type Accelerator = 'kvm' | 'tcg';

export interface MachineShape {
  /** Id of the server, a UUID. */
  id: string;
  cpus: number;
  memoryMiB: number;
  mac: string;
}

export const sandbox = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/** Names within a server's folder. */
export const names = {
  monitor: 'qmp.sock',
  serial: 'serial.sock',
  console: 'console.log',
  disk: 'disk.qcow2',
  seed: 'seed.iso',
  pid: 'qemu.pid',
} as const;

function blockDevice(description: object): string[] {
  return ['-blockdev', JSON.stringify(description)];
}

export function acceleratorArguments(accelerator: Accelerator, tbSize: number): string[] {
  return accelerator === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', `tcg,tb-size=${tbSize}`, '-cpu', 'max'];
}

function disks(image: BootFiles): string[] {
  const root = {
    driver: 'qcow2',
    'node-name': 'disk0',
    discard: 'unmap',
    file: { driver: 'file', filename: names.disk },
    // Named here and not left to the overlay's header, so that the image folder may move.
    backing: {
      driver: 'qcow2',
      'node-name': 'base0',
      'read-only': true,
      file: { driver: 'file', 'read-only': true, filename: image.disk },
    },
  };
  const seed = {
    driver: 'raw',
    'node-name': 'seed0',
    'read-only': true,
    file: { driver: 'file', 'read-only': true, filename: names.seed },
  };
  return [
    ...blockDevice(root),
    ...['-device', 'virtio-blk-pci,drive=disk0,id=vd0'],
    ...blockDevice(seed),
    ...['-device', 'virtio-blk-pci,drive=seed0,id=vd1'],
  ];
}

export function emulatorArguments(
  machine: MachineShape,
  image: BootFiles,
  host: { accelerator: Accelerator; tbSize: number },
): string[] {
  const socket = (id: string, path: string): string => `socket,id=${id},path=${path},server=on,wait=off`;
  return [
    ...['-name', `guest=${machine.id}`, '-machine', 'q35'],
    ...acceleratorArguments(host.accelerator, host.tbSize),
    ...['-smp', String(machine.cpus), '-m', String(machine.memoryMiB)],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    // Paused: the guest runs once we have written down that it is there.
    '-S',
    // QEMU locks this file, so that a second one in the same folder ends at once.
    ...['-pidfile', names.pid],
    ...['-sandbox', sandbox],
    ...['-chardev', 'stdio,id=ev0,signal=off', '-mon', 'chardev=ev0,mode=control'],
    ...['-chardev', socket('qmp0', names.monitor), '-mon', 'chardev=qmp0,mode=control'],
    ...[
      '-chardev',
      `${socket('ser0', names.serial)},logfile=${names.console},logappend=on`,
      '-serial',
      'chardev:ser0',
    ],
    ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', image.append],
    ...disks(image),
    // The user-mode network: DHCP for the guest, no way out of it and none in.
    ...[
      '-netdev',
      'user,id=n0,restrict=on',
      '-device',
      `virtio-net-pci,netdev=n0,romfile=,mac=${machine.mac}`,
    ],
    // Without entropy a guest waits for its random pool.
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-balloon-pci,id=balloon0'],
    // A panicked guest would burn a core for ever. A reset is far slower under emulation than a new start.
    ...['-device', 'pvpanic-pci', '-action', 'panic=pause,reboot=shutdown'],
  ];
}
