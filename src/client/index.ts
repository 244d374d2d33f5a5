/** The client library: `import { createClient } from 'copse/client'` (docs/client.md). */
import { Client, type ClientOptions } from './client.js';

export { CallError, Client, ConnectionError } from './client.js';
export type { Answer, Call, CallOptions, ClientOptions } from './client.js';
export { type EventOptions, followEvents } from './event.js';
export { hasEnded, TaskError, type WaitOptions, WaitTimeoutError, waitForTask } from './task.js';
export type { ErrorCode, FieldError } from '../model/error.js';
export type { Event } from '../model/event.js';
export type { Flavor } from '../model/flavor.js';
export type { Image } from '../model/image.js';
export type { Instance, InstanceCreate } from '../model/instance.js';
export type { Plan } from '../model/plan.js';
export type { Project } from '../model/project.js';
export type { Region } from '../model/region.js';
export type { Task } from '../model/task.js';
export type { User } from '../model/user.js';

/** A client that repeats requests which may succeed later, each POST under a key of its own. */
export function createClient(url: string, key: string, options: ClientOptions = {}): Client {
  return new Client(url, key, { retries: 4, ...options });
}
