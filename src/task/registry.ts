import type { TaskType } from '../model/task.js';
import type { TaskCode } from './code.js';
import { instanceCreate } from './instance-create.js';
import { instanceDelete } from './instance-delete.js';
import { instanceReboot } from './instance-reboot.js';
import { instanceReplace } from './instance-replace.js';
import { instanceStart } from './instance-start.js';
import { instanceStop } from './instance-stop.js';

/** The code of every task type. */
export const taskCodes: Readonly<Record<TaskType, TaskCode>> = {
  'instance.create': instanceCreate,
  'instance.replace': instanceReplace,
  'instance.delete': instanceDelete,
  'instance.start': instanceStart,
  'instance.stop': instanceStop,
  'instance.reboot': instanceReboot,
};
