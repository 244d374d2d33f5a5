/** The manual's page of roles, generated from the table of roles and that of routes. */
import { type Right, type Role, rights, roleRights } from '../model/role.js';
import type { Guard } from './guard.js';
import { type RouteOptions, routeTable } from './index.js';
import type { Row } from './route.js';

/** Who may send a request: without a credential, in no project, or with a role in the project that it is about. */
export const callers = ['anonymous', 'others', 'reader', 'operator', 'admin', 'superuser'] as const;

export type CallerKind = (typeof callers)[number];

/** What the access decision says: `yes`, or the status of the refusal. */
export type Verdict = 'yes' | 401 | 403 | 404;

/** The verdict on a caller, for a resource of the project in which they have their role, or of another user. */
export function verdictOn(caller: CallerKind, { authenticator, dataRight }: Guard): Verdict {
  const { needsUser, right = dataRight, name } = authenticator;
  // None of these callers has signed anything.
  if (!needsUser) return name === 'Signature' ? 403 : 'yes';
  if (caller === 'anonymous') return 401;
  if (right !== undefined) {
    if (caller === 'others') return 404;
    return roleRights[caller].includes(right) ? 'yes' : 403;
  }
  return (name === 'SuperUser' || name === 'Owner') && caller !== 'superuser' ? 404 : 'yes';
}

/** The rows of the API; what the options say makes no difference to who may call them. */
export function allRows(): Row[] {
  const options: RouteOptions = {
    githubSecret: 'any',
    publicUrl: () => 'http://localhost',
    authorizationServers: [],
    scopes: [],
    streams: { heartbeat: 1, lifetime: 1 },
    service: {
      version: '0',
      started: new Date(0),
      ready: () => true,
      checks: () => [],
      metrics: () => Promise.resolve(''),
    },
  };
  return routeTable(options, () => '{}');
}

export function addressOf([version, , path]: Row): string {
  return version === undefined ? path : `/api/v${version}${path}`;
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function needOf({ authenticator: { needsUser, right, name }, dataRight }: Guard): string {
  if (!needsUser) return name === 'Signature' ? 'the signature of the body' : 'nothing';
  if (dataRight !== undefined)
    return `\`${dataRight}\`${name === 'Unlimited' ? ', or to own it; a credential without limits' : ''}`;
  if (right !== undefined) return `\`${right}\``;
  if (name === 'Owner') return 'to be the user, or a superuser';
  if (name === 'Unlimited') return 'a credential without limits';
  return name === 'SuperUser' ? 'to be a superuser' : 'a credential';
}

export function rolesPage(): string {
  const roles = Object.keys(roleRights) as Role[];
  const ofRights = Object.entries(rights).map(([right, meaning]) => [
    `\`${right}\``,
    meaning,
    ...roles.map((role) => (roleRights[role].includes(right as Right) ? 'yes' : '')),
  ]);
  const ofRoutes = allRows().map((row) => [
    `${row[1]} \`${addressOf(row)}\``,
    needOf(row[3]),
    ...callers.map((caller) => String(verdictOn(caller, row[3]))),
  ]);
  return `# Roles and rights

A user has a role in each project that they are in: \`reader\`, \`operator\` or \`admin\`. A superuser, whom \`auth.superUsers\` names, has
every right in every project. For the routes of an organization, the role in the organization counts instead. \`spec.members\` of a project lists its operators.

${table(['right', 'allows to', ...roles], ofRights)}

## Routes

What each route needs, and who is allowed to use it, for a resource of the project in which the caller has the role: \`yes\`, or the
status of the refusal. \`others\` are identified users who are not in the project. A resource that the caller may not see, or that
does not exist, is 404 for everyone. A 403 names the missing right. What belongs to an organization, and a region,
counts as of each of the projects, except that only superusers change it. \`POST /api/v2/hooks/github\` exists only with \`hooks.github.secret\`. Where a route needs only a credential,
its response is limited to what the caller may see: lists show the resources of the caller's projects, and a create needs \`operate\` in
the project that it names.

This page is generated from \`src/model/role.ts\` and \`src/route/index.ts\` by \`npm run docs\`.

${table(['route', 'needs', ...callers], ofRoutes)}
`;
}
