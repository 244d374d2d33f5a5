import { ChildrenFailed } from './cause.js';
import { NotYet, type TaskCode } from './code.js';

/** Milliseconds between two looks at the children: a quarter of the task's age, within these bounds. */
const shortest = 200;
const longest = 5000;

/** Ends when its children have ended: succeeded if all of them have. It holds no slot of the runner meanwhile. */
export const actionsFollow: TaskCode<'actions.follow'> = {
  type: 'actions.follow',
  async run({ task }) {
    const children = await task.children();
    const now = Date.now();
    if (children.some(({ queue }) => queue !== 'done')) {
      const age = now - Date.parse(task.value.creationTime);
      throw new NotYet(Math.ceil(now + Math.min(longest, Math.max(shortest, age / 4))));
    }
    const failed = children.filter(({ status }) => status !== 'succeeded').length;
    if (failed > 0)
      throw new ChildrenFailed(`${failed} of ${children.length} tasks did not succeed; see \`children\`.`);
  },
};
