import type { InstanceRecord } from '../model/instance.js';
import type { ServerObservation } from '../region/provider.js';
import type { Work } from './code.js';

/**
 * The step that creates and replacements share: have the server of the instance. `begun`:
 * what its beginning makes of the instance.
 */
export function ensureServer(
  work: Work,
  begun?: (instance: InstanceRecord) => InstanceRecord,
): Promise<ServerObservation> {
  const { id, value } = work.instance;
  const request = {
    id,
    hostname: value.name,
    flavorId: value.flavorId,
    imageId: value.imageId,
    tags: value.tags ?? [],
    ...(value.flavor == null ? {} : { flavor: value.flavor }),
    // A machine that is made anew rests if that is the last wish.
    ...(value.desiredPower === 'stopped' ? { power: value.desiredPower } : {}),
    ...(value.userData === undefined ? {} : { userData: Buffer.from(value.userData, 'base64') }),
  };
  return work.step('ensureServer', () => work.provider.ensureServer(request, work.signal), begun);
}
