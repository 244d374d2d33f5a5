/**
 * The calls of an API process to the worker that drives a region: reads only, as JSON over HTTP. All changes go through
 * the task queue, which needs no connection between the two.
 */
import type { RegionErrorKind } from '../provider.js';

export const calls = ['listFlavors', 'listImages', 'describeServers', 'consoleOutput'] as const;
export type Call = (typeof calls)[number];

/** `POST /regions/{regionId}/{call}` with the arguments as a JSON array, and with `traceparent` if there is a trace. */
export function pathOf(regionId: string, call: string): string {
  return `/regions/${encodeURIComponent(regionId)}/${call}`;
}

/** The body of a failed call. */
export interface Failure {
  kind: RegionErrorKind;
  message: string;
}

/** Kinds of failure that describe a state, not a failing region. */
export const refusals: readonly RegionErrorKind[] = ['not_found', 'conflict', 'unsupported'];

export const errorKinds: readonly RegionErrorKind[] = [
  'not_found',
  'conflict',
  'busy',
  'unsupported',
  'transient',
  'terminal',
];
