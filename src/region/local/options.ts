import type { Log } from '../../model/log.js';

export interface LocalFlavor {
  name: string;
  cpus: number;
  memoryMiB: number;
  /** Root disk in GB (10^9 bytes). */
  diskGB: number;
}

export interface LocalRegionOptions {
  regionId: string;
  /** Absolute folder of this region; `servers/<id>/` below it is one server. */
  dataDir: string;
  /** Absolute folder of the guest images, a folder each. */
  imageDir: string;
  accelerator: 'auto' | 'kvm' | 'tcg';
  /** Programs; a bare name is searched for in PATH. */
  qemu: string;
  qemuImg: string;
  /** Concurrent starts; 0 means as many as there are cores. */
  startWidth: number;
  /** Maximum time in seconds that a booting guest holds its slot in the start queue. */
  startSlot: number;
  /** Seconds that a guest gets to shut down by itself. */
  stopDeadline: number;
  /** MiB of translated code cached per guest under emulation. */
  tbSize: number;
  /** Bytes of console output stored per server. */
  consoleLimit: number;
  flavors: LocalFlavor[];
  log: Log;
  /** Seconds between two checks of console sizes. Default 30. */
  housekeeping?: number;
  /** Seconds that another process gets to leave the folder. Default 15. */
  handover?: number;
}
