import { Check } from 'typebox/schema';
import { taskInputs, type TaskType } from '../model/task.js';
import type { TaskCode, Work } from './code.js';
import { actionsFollow } from './actions-follow.js';
import { imageCheck } from './image-check.js';
import { imageDelete } from './image-delete.js';
import { instanceCreate } from './instance-create.js';
import { instanceDelete } from './instance-delete.js';
import { instanceReboot } from './instance-reboot.js';
import { instanceReplace } from './instance-replace.js';
import { instanceResize } from './instance-resize.js';
import { instanceSnapshot } from './instance-snapshot.js';
import { instanceRestore } from './instance-restore.js';
import { instanceStart } from './instance-start.js';
import { instanceStop } from './instance-stop.js';
import { instanceTrash } from './instance-trash.js';
import { webhookDeliver } from './webhook-deliver.js';

/** The code of every task type; a missing one is a compile error. */
const taskCodes: Readonly<{ [T in TaskType]: TaskCode<T> }> = {
  'instance.create': instanceCreate,
  'instance.replace': instanceReplace,
  'instance.resize': instanceResize,
  'instance.delete': instanceDelete,
  'instance.trash': instanceTrash,
  'instance.restore': instanceRestore,
  'instance.start': instanceStart,
  'instance.stop': instanceStop,
  'instance.reboot': instanceReboot,
  'instance.snapshot': instanceSnapshot,
  'image.check': imageCheck,
  'image.delete': imageDelete,
  'webhook.deliver': webhookDeliver,
  'actions.follow': actionsFollow,
};

/**
 * The code of a type read from the store. Undefined if this version does not know it: a newer one has stored the task.
 */
export function codeOf(type: TaskType): TaskCode | undefined {
  return Object.hasOwn(taskCodes, type) ? taskCodes[type] : undefined;
}

/** Whether the stored input is valid for the code of the type; another version may have stored it. */
export function takes(type: TaskType, input: object): input is Work['input'] {
  return Check(taskInputs[type], input);
}
