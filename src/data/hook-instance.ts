/** From a rule of the configuration to the instance that it describes: names become ids. */
import { timestamp } from '../model/common.js';
import { ApiError } from '../model/error.js';
import { filled, type HookJobRecord, type HookRule } from '../model/hook.js';
import type { InstanceCreate } from '../model/instance.js';
import { siteId } from '../model/task.js';
import type { Caller } from './caller.js';
import type { FlavorData } from './flavor.js';
import type { ImageData } from './image.js';
import type { InstanceData } from './instance.js';
import { networks } from './network.js';
import { projects } from './project.js';
import type { RegionData } from './region.js';
import type { SettingsData } from './settings.js';
import type { Document, Store } from './store/port.js';

const hour = 3_600_000;

export interface HookParts {
  instances: InstanceData;
  regions: RegionData;
  flavors: FlavorData;
  images: ImageData;
  settings: SettingsData;
}

const absent = (what: string, named: string) =>
  new ApiError('unprocessable', `The rule names a ${what} that does not exist: ${named}.`);

/** The instance that a rule makes for a job. Throws if the rule names what does not exist. */
export async function instanceFor(
  store: Store,
  { regions, flavors, images }: HookParts,
  caller: Caller,
  rule: HookRule,
  { id, value: job }: Document<HookJobRecord>,
): Promise<InstanceCreate> {
  const { signal } = caller;
  const projectId = await projectOf(store, rule.project, signal);
  const { organizationId } = (await store.get(projects, projectId, signal))?.value ?? {};
  const region = regions.all().find((one) => one.id === rule.region || one.name === rule.region);
  if (region === undefined || organizationId === undefined) throw absent('region', rule.region);
  const pick = (all: readonly { metadata: { id: string; name: string } }[], what: string, named: string) => {
    const found = all.find(({ metadata }) => metadata.id === named || metadata.name === named);
    if (found === undefined) throw absent(what, named);
    return found.metadata.id;
  };
  const flavorId = pick(await flavors.list(caller, organizationId, region.id), 'flavor', rule.flavor);
  const imageId = pick(await images.list(caller, organizationId, region.id), 'image', rule.image);
  const networkId = rule.network && (await networkOf(store, projectId, region.id, rule.network, signal));
  const userData = rule.userData && Buffer.from(filled(rule.userData, id, job, rule)).toString('base64');
  return {
    metadata: {
      name: job.name,
      description: `Runs job ${id} of ${job.repository}.`,
      tags: [
        { name: 'hook', value: 'github' },
        { name: 'hook-rule', value: rule.name },
      ],
    },
    spec: {
      projectId,
      regionId: region.id,
      flavorId,
      imageId,
      expiresAt: timestamp(new Date(Date.now() + rule.lifetime * hour)),
      ...(networkId === undefined ? {} : { networkId }),
      ...(userData === undefined ? {} : { userData }),
    },
  };
}

/** By its id, or by its name, if only one has it. */
async function projectOf(store: Store, named: string, signal: AbortSignal): Promise<string> {
  if ((await store.get(projects, named, signal)) !== undefined) return named;
  const [found, other] = await store
    .page(projects, { order: 'id', limit: 1000 }, signal)
    .then((all) => all.filter(({ value }) => value.name === named));
  if (found === undefined || other !== undefined) throw absent('project of this name alone', named);
  return found.id;
}

async function networkOf(
  store: Store,
  projectId: string,
  regionId: string,
  named: string,
  signal: AbortSignal,
): Promise<string> {
  if ((await store.get(networks, named, signal)) !== undefined) return named;
  const found = await store.find(networks, 'name', [projectId, regionId, named], signal);
  if (found === undefined) throw absent('network', named);
  return found.id;
}

/** Stands for the hook. Its id belongs to no user, and its name can be none. */
export function hookCaller({ requestId, signal }: Pick<Caller, 'requestId' | 'signal'>): Caller {
  return { principal: { id: siteId, name: 'hook:github', superUser: true }, requestId, signal };
}
