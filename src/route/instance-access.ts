/** Shared by the routes of one instance: the path parameter, and the project that decides who may use it. */
import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { textHasTags } from '../model/key-limits.js';
import { prefetchProjectContext } from './prefetch.js';

export const instanceParams = Type.Object({ instanceID: Uuid }, { additionalProperties: false });

export const projectOfInstance = prefetchProjectContext(
  'instanceID',
  (connector, id, interruption) => connector.instances.readForAccess(id, interruption),
  (_connector, limits, { text }) => textHasTags(limits, text),
);
