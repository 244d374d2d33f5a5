/** Shared by the routes of instances: the path parameter, a page of a list, and the project that decides who may use one. */
import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Instance } from '../model/instance.js';
import { textHasTags } from '../model/key-limits.js';
import { prefetchProjectContext } from './prefetch.js';

export const instanceParams = Type.Object({ instanceID: Uuid }, { additionalProperties: false });

export const instancePage = {
  200: { description: 'A page of instances.', schema: Type.Array(Instance), headers: ['Link'] },
} as const;

export const projectOfInstance = prefetchProjectContext(
  'instanceID',
  (connector, id, interruption) => connector.instances.readForAccess(id, interruption),
  (_connector, limits, { text }) => textHasTags(limits, text),
);
