import type { InstanceRecord } from '../model/instance.js';
import type { ServerObservation } from '../region/provider.js';
import type { Work } from './code.js';

/**
 * The step shared by creates and replacements: ensure the server of the instance. `begun`: the change of the instance
 * at its beginning.
 */
export function ensureServer(
  work: Work<'instance.create' | 'instance.replace'>,
  begun?: (instance: InstanceRecord) => InstanceRecord,
): Promise<ServerObservation> {
  const { id, value } = work.subject;
  const request = {
    id,
    hostname: value.name,
    flavorId: value.flavorId,
    imageId: value.imageId,
    tags: value.tags ?? [],
    ...(value.flavor == null ? {} : { flavor: value.flavor }),
    // A machine that is created again stays off if that was the last request.
    ...(value.desiredPower === 'stopped' ? { power: value.desiredPower } : {}),
    ...(value.userData === undefined ? {} : { userData: Buffer.from(value.userData, 'base64') }),
  };
  return work.step('ensureServer', () => work.provider.ensureServer(request, work.signal), begun);
}
