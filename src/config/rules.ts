/** Constraints across several options. */
import { unknownPlaceholder } from '../model/hook.js';
import type { Config, IssuerConfig } from './schema.js';

const everywhere = ['0.0.0.0', '::'];

function twice(names: readonly string[]): string | undefined {
  return names.find((name, index) => names.indexOf(name) !== index);
}

function isLoopback(address: string): boolean {
  const { hostname } = new URL(address);
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
}

/** Whoever can change a response of an issuer can forge its tokens. */
function faultsOfIssuers(issuers: readonly IssuerConfig[]): string[] {
  const found: string[] = [];
  const issuer = twice(issuers.map((one) => one.issuer));
  if (issuer !== undefined) found.push(`auth.oidc must not contain duplicates (is "${issuer}")`);
  for (const [index, { issuer: address, grants = [] }] of issuers.entries()) {
    const where = `auth.oidc.${index}`;
    if (!address.startsWith('https:') && !isLoopback(address))
      found.push(`${where}.issuer must be an https URL, unless it is on this machine (is "${address}")`);
    for (const [at, { superUser, project, organization, role }] of grants.entries()) {
      const targets = [superUser, project, organization].filter((one) => one !== undefined);
      const isWhole = superUser === undefined ? role !== undefined : superUser && role === undefined;
      if (targets.length !== 1 || !isWhole)
        found.push(
          `${where}.grants.${at} must have either superUser, or role with project or with organization`,
        );
    }
  }
  return found;
}

/** One message per violation, with the names of the options. */
export function contradictionsIn({ auth, hooks, server, worker, tasks, regions, local }: Config): string[] {
  const found = [...faultsOfIssuers(auth.oidc), ...hookFaults(hooks)];
  const region = twice(regions.map((one) => one.split('=')[0] ?? ''));
  if (region !== undefined) found.push(`regions must not contain duplicates (is "${region}")`);
  const flavor = twice(local.flavors.map(({ name }) => name));
  if (flavor !== undefined) found.push(`local.flavors must not contain duplicates (is "${flavor}")`);
  if (tasks.backoff > tasks.backoffMax)
    found.push(
      `tasks.backoff must not exceed tasks.backoffMax (is ${tasks.backoff}; the maximum is ${tasks.backoffMax})`,
    );
  const together =
    server.host === worker.host || everywhere.includes(server.host) || everywhere.includes(worker.host);
  if (worker.listen && together && server.port !== 0 && server.port === worker.port)
    found.push(`worker.port must differ from server.port while worker.listen is on (is ${worker.port})`);
  return found;
}

function hookFaults(hooks: Config['hooks']): string[] {
  const { rules } = hooks.github;
  const found: string[] = [];
  const name = twice(rules.map((rule) => rule.name));
  if (name !== undefined) found.push(`hooks.github.rules must not contain duplicates (is "${name}")`);
  for (const rule of rules) {
    const unknown = unknownPlaceholder(rule.userData ?? '');
    if (unknown !== undefined)
      found.push(
        `hooks.github.rules: userData of "${rule.name}" must not contain the unknown placeholder ${unknown}`,
      );
  }
  return found;
}
