/** Power states and the verbs that each allows. Names: Unikorn `powerState`. */
import { Type, type Static } from 'typebox';

export const PowerState = Type.Union(
  [
    Type.Literal('Pending'),
    Type.Literal('Queued'),
    Type.Literal('Building'),
    Type.Literal('Running'),
    Type.Literal('Stopping'),
    Type.Literal('Stopped'),
    Type.Literal('Rebuilding'),
    Type.Literal('Error'),
  ],
  { title: 'PowerState' },
);
export type PowerState = Static<typeof PowerState>;

export type PowerVerb = 'start' | 'stop' | 'reboot';

const allowed: Record<PowerVerb, readonly PowerState[]> = {
  start: ['Stopped', 'Error'],
  stop: ['Running', 'Error'],
  reboot: ['Running', 'Error'],
};

/** Whether the verb is allowed in this power state. */
export function permits(state: PowerState | undefined, verb: PowerVerb): boolean {
  return state !== undefined && allowed[verb].includes(state);
}

/** Transitional states. If no task is working on the machine, it may never leave one. */
const passing: readonly PowerState[] = ['Pending', 'Queued', 'Building', 'Stopping', 'Rebuilding'];

export function isPassing(state: PowerState | undefined): boolean {
  return state !== undefined && passing.includes(state);
}

/**
 * Whether the verb is allowed when no task is working on the machine: start and stop also lead out of transitional
 * states.
 */
export function leadsOn(state: PowerState | undefined, verb: PowerVerb): boolean {
  return permits(state, verb) || (verb !== 'reboot' && isPassing(state));
}
