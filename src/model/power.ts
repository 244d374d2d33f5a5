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

/** Whether a machine in this power state may be asked for the verb. */
export function permits(state: PowerState | undefined, verb: PowerVerb): boolean {
  return state !== undefined && allowed[verb].includes(state);
}

/** States that a machine only passes through. When nothing is at work on it, nobody can say when it leaves one. */
const passing: readonly PowerState[] = ['Pending', 'Queued', 'Building', 'Stopping', 'Rebuilding'];

export function isPassing(state: PowerState | undefined): boolean {
  return state !== undefined && passing.includes(state);
}

/** Whether a machine that no task is at work on may be asked for the verb: start and stop also lead out of what should pass. */
export function leadsOn(state: PowerState | undefined, verb: PowerVerb): boolean {
  return permits(state, verb) || (verb !== 'reboot' && isPassing(state));
}
