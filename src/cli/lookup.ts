/** From what people type, a name or an id, to the resource. */
import { closest, distance } from 'fastest-levenshtein';
import type { Client } from '../client/client.js';
import type { Flavor } from '../model/flavor.js';
import type { Image } from '../model/image.js';
import type { Instance } from '../model/instance.js';
import type { Project } from '../model/project.js';
import type { Region } from '../model/region.js';
import { CliError, usageError } from './failure.js';

/** At most so many names are read to find the one that was meant. */
const searchLimit = 1000;

interface Named {
  metadata: { id: string; name: string };
}

export function isId(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}

/** For the path of a resource. */
export function segment(text: string): string {
  return encodeURIComponent(text);
}

function unknown(kind: string, text: string, names: readonly string[]): CliError {
  const nearest = names.length === 0 ? undefined : closest(text, [...names]);
  const isNear =
    nearest !== undefined &&
    (distance(text, nearest) <= Math.max(2, text.length / 2) || nearest.startsWith(text));
  const list = names.length <= 10 ? `There are: ${names.join(', ')}.` : `See "copse ${kind} list".`;
  const hint = isNear ? `Did you mean ${nearest}?` : names.length === 0 ? `There is no ${kind} yet.` : list;
  return new CliError('notFound', `There is no ${kind} "${text}", or you may not see it.`, hint);
}

/** The one with this name or id. */
export function pick<T extends Named>(kind: string, items: readonly T[], text: string): T {
  const found = items.filter(({ metadata }) => metadata.name === text || metadata.id === text);
  const [first, ...others] = found;
  const names = items.map(({ metadata }) => metadata.name);
  if (first === undefined) throw unknown(kind, text, names);
  if (others.length > 0) {
    const ids = found.map(({ metadata }) => metadata.id).join(', ');
    throw usageError(`Several are named "${text}": ${ids}.`, 'Use the id.');
  }
  return first;
}

async function upTo<T>(client: Client, path: string, limit = searchLimit): Promise<T[]> {
  const items: T[] = [];
  for await (const item of client.items<T>(`${path}${path.includes('?') ? '&' : '?'}limit=${limit}`)) {
    items.push(item);
    if (items.length >= limit) break;
  }
  return items;
}

/** The id of an instance. An id is not looked up: the request that uses it finds out. */
export async function instanceId(client: Client, text: string): Promise<string> {
  if (isId(text)) return text;
  const isName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text);
  const found = isName
    ? await upTo<Instance>(client, `/api/v2/instances?name=${segment(text)}&sort=name`, 10)
    : [];
  const items = found.length > 0 ? found : await upTo<Instance>(client, '/api/v2/instances');
  return pick('instance', items, text).metadata.id;
}

/** The id of what is in a list of its own: a project, a user, a network, an organization. */
export async function idIn(
  client: Client,
  kind: 'project' | 'user' | 'network' | 'organization',
  text: string,
): Promise<string> {
  if (isId(text)) return text;
  return pick(kind, await upTo<Named>(client, `/api/v2/${kind}s`), text).metadata.id;
}

export interface Place {
  organizationId: string;
  region: Region;
}

/** The regions of the caller's organizations. */
export async function regionsOf(client: Client): Promise<Place[]> {
  const projects = await upTo<Project>(client, '/api/v2/projects');
  const organizations = [...new Set(projects.map(({ metadata }) => metadata.organizationId))];
  const lists = await Promise.all(
    organizations.map(async (organizationId) => {
      const { body } = await client.get<Region[]>(`/api/v1/organizations/${organizationId}/regions`);
      return body.map((region) => ({ organizationId, region }));
    }),
  );
  const seen = new Set<string>();
  return lists.flat().filter(({ region }) => {
    const isNew = !seen.has(region.metadata.id);
    seen.add(region.metadata.id);
    return isNew;
  });
}

/** The region that is named; without a name, the only one. */
export async function placeOf(client: Client, text: string | undefined): Promise<Place> {
  const places = await regionsOf(client);
  const regions = places.map(({ region }) => region);
  if (text !== undefined) {
    const region = pick('region', regions, text);
    return { region, organizationId: places[regions.indexOf(region)]?.organizationId ?? '' };
  }
  const [only, ...others] = places;
  if (only === undefined) throw new CliError('notFound', 'You see no region: you are in no project.');
  if (others.length > 0) {
    const names = regions.map(({ metadata }) => metadata.name).join(', ');
    throw usageError('There are several regions.', `Choose one with --region: ${names}.`);
  }
  return only;
}

export async function flavorsIn(client: Client, { organizationId, region }: Place): Promise<Flavor[]> {
  const path = `/api/v1/organizations/${organizationId}/regions/${region.metadata.id}/flavors`;
  return (await client.get<Flavor[]>(path)).body;
}

export async function imagesIn(client: Client, { organizationId, region }: Place): Promise<Image[]> {
  const path = `/api/v1/organizations/${organizationId}/regions/${region.metadata.id}/images`;
  return (await client.get<Image[]>(path)).body;
}

/** The id of a region for a filter. */
export async function regionId(client: Client, text: string): Promise<string> {
  return isId(text) ? text : (await placeOf(client, text)).region.metadata.id;
}
