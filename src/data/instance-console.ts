import { ApiError, orNotFound } from '../model/error.js';
import type { ConsoleOutput, ConsolePart } from '../model/console.js';
import type { Caller } from './caller.js';
import type { InstanceData } from './instance.js';
import type { RegionData } from './region.js';

export class InstanceConsoleData {
  readonly #instances: InstanceData;
  readonly #regions: RegionData;

  constructor(instances: InstanceData, regions: RegionData) {
    this.#instances = instances;
    this.#regions = regions;
  }

  /** A part of the console. Before the machine exists it is empty. Absent: `not_found`. */
  async output(caller: Caller, id: string, part: ConsolePart): Promise<ConsoleOutput> {
    const { signal } = caller;
    const { value } = orNotFound(await this.#instances.load(id, signal));
    try {
      return await this.#regions.ask(caller, value.regionId, (provider) =>
        provider.consoleOutput(id, part, signal),
      );
    } catch (error) {
      if (error instanceof ApiError && error.code === 'not_found') return { contents: '', start: 0, next: 0 };
      throw error;
    }
  }
}
