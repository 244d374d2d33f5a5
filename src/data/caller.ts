/** In whose name, and within which limits, the data layer works for one request. */
import type { Standing } from '../model/standing.js';
import type { Principal } from '../model/user.js';
import type { Write } from './store/port.js';

/** An accepted change: what a client is told of it. */
export interface Accepted {
  id: string;
  /** The task that carries the change out, if it needs one. */
  taskId?: string;
  /** The public text after the change and its revision, where the client gets it. */
  text?: string;
  revision?: number;
}

export interface Caller {
  readonly principal: Principal;
  readonly requestId: string;
  /** Aborts when the client leaves or the request's time is up. */
  readonly signal: AbortSignal;
  /** W3C trace context of the request, to go on in its task. */
  readonly traceparent?: string | undefined;
  /** Throws when the resource is not in the state that the client demands (If-Match); tells whether it knows the present one. */
  readonly precondition?: ((standing: Standing) => boolean) | undefined;
  /** What a repeat of the request needs to find its answer; stored in the batch of the change itself. */
  readonly remember?: ((accepted: Accepted) => readonly Write[]) | undefined;
}
