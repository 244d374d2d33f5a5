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
