import type { OpenRegion } from '../data/region.js';
import { siteId } from '../model/task.js';
import type { RegionProvider } from '../region/provider.js';

/** Where the runner claims tasks that belong to no region. They have no machines. */
export const siteRegion: OpenRegion = {
  id: siteId,
  name: 'site',
  creationTime: '',
  provider: new Proxy({} as RegionProvider, {
    get: (_target, member) => {
      throw new Error(`A task of the site has no region to ask for ${String(member)}.`);
    },
  }),
};
