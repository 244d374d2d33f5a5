/** The user and the limits with which the data layer works for one request. */
import type { InstanceActionPlan } from '../model/instance-action.js';
import type { Intent, Plan } from '../model/plan.js';
import type { Standing } from '../model/standing.js';
import type { Principal } from '../model/user.js';
import type { Write } from './store/port.js';

/** An accepted change, as returned to the client. */
export interface Accepted {
  id: string;
  /** The task that carries out the change, if it needs one. */
  taskId?: string;
  /** The public text after the change, and its revision, if the client gets it. */
  text?: string;
  revision?: number;
  /** What would happen, if the request asked for no more; nothing has been stored. */
  plan?: Plan;
  /** The same of a change of several instances. */
  plans?: InstanceActionPlan;
}

/** How a request wants its change to be planned. */
export interface Planning {
  /** Only tell what would happen. */
  dryRun: boolean;
  /** Do only what this plan said. */
  planId?: string | undefined;
}

/** What collects the changes that one request stores together. */
export interface Within {
  /** The task that follows theirs. */
  parentId: string;
  add(writes: readonly Write[], intent?: Intent & { revision?: number }): void;
}

export interface Caller {
  readonly principal: Principal;
  readonly requestId: string;
  /** Aborts when the client disconnects or the request times out. */
  readonly signal: AbortSignal;
  /** W3C trace context of the request, continued in its task. */
  readonly traceparent?: string | undefined;
  /**
   * Throws if the resource is not in the state that the client requires (If-Match); returns whether the client knows
   * the current one.
   */
  readonly precondition?: ((standing: Standing) => boolean) | undefined;
  /** Whether the change is planned only, or was planned before. */
  readonly planning?: Planning | undefined;
  /** The change is stored in one step with others, by the request for all of them. */
  readonly within?: Within | undefined;
  /** The writes that let a repeat of the request find its response; stored in the same batch as the change. */
  readonly storeResponse?: ((accepted: Accepted) => readonly Write[]) | undefined;
}
