import { expect } from 'chai';
import { ApiError } from '../../../src/model/error.js';
import { type ProjectRole, type Role, rightsOf } from '../../../src/model/role.js';
import {
  type Authenticator,
  NoAuthAuthenticator,
  ProjectAdminAuthenticator,
  ProjectMemberAuthenticator,
  ProjectRightAuthenticator,
  RequireUserAuthenticator,
  SuperUserAuthenticator,
} from '../../../src/route/pipeline/authenticator.js';
import { MutableContext, type RequestContext, type User } from '../../../src/route/pipeline/context.js';
import { RequestLifetime } from '../../../src/route/pipeline/request-lifetime.js';

type Caller = 'anonymous' | 'stranger' | Role;
const callers: Caller[] = ['anonymous', 'stranger', 'reader', 'operator', 'admin', 'superuser'];

function contextOf(caller: Caller, withProject: boolean): RequestContext {
  const project = {
    id: 'p',
    rightsOf: (user: User) =>
      rightsOf(user, user.id === 'stranger' ? undefined : (user.id as ProjectRole), 'p'),
  };
  return Object.assign(new MutableContext('r', new RequestLifetime(), 0, undefined), {
    ...(caller === 'anonymous'
      ? {}
      : { user: { id: caller, name: caller, superUser: caller === 'superuser' } }),
    ...(withProject ? { project } : {}),
  });
}

/** The status that the caller gets, or 'pass'. */
function verdict(authenticator: Authenticator, context: RequestContext): number | 'pass' {
  try {
    authenticator.authenticate(context);
    return 'pass';
  } catch (error) {
    if (error instanceof ApiError) return error.status;
    throw error;
  }
}

type Row = Record<Caller, number | 'pass'>;

/** For each authenticator: with a project in the context, and without one. */
const table: [Authenticator, Row, Row][] = [
  [
    new NoAuthAuthenticator(),
    {
      anonymous: 'pass',
      stranger: 'pass',
      reader: 'pass',
      operator: 'pass',
      admin: 'pass',
      superuser: 'pass',
    },
    {
      anonymous: 'pass',
      stranger: 'pass',
      reader: 'pass',
      operator: 'pass',
      admin: 'pass',
      superuser: 'pass',
    },
  ],
  [
    new RequireUserAuthenticator(),
    { anonymous: 401, stranger: 'pass', reader: 'pass', operator: 'pass', admin: 'pass', superuser: 'pass' },
    { anonymous: 401, stranger: 'pass', reader: 'pass', operator: 'pass', admin: 'pass', superuser: 'pass' },
  ],
  [
    new ProjectMemberAuthenticator(),
    { anonymous: 401, stranger: 404, reader: 'pass', operator: 'pass', admin: 'pass', superuser: 'pass' },
    { anonymous: 401, stranger: 404, reader: 404, operator: 404, admin: 404, superuser: 404 },
  ],
  [
    new ProjectRightAuthenticator('operate'),
    { anonymous: 401, stranger: 404, reader: 403, operator: 'pass', admin: 'pass', superuser: 'pass' },
    { anonymous: 401, stranger: 404, reader: 404, operator: 404, admin: 404, superuser: 404 },
  ],
  [
    new ProjectAdminAuthenticator(),
    { anonymous: 401, stranger: 404, reader: 403, operator: 403, admin: 'pass', superuser: 'pass' },
    { anonymous: 401, stranger: 404, reader: 404, operator: 404, admin: 404, superuser: 404 },
  ],
  [
    new SuperUserAuthenticator(),
    { anonymous: 401, stranger: 404, reader: 404, operator: 404, admin: 404, superuser: 'pass' },
    { anonymous: 401, stranger: 404, reader: 404, operator: 404, admin: 404, superuser: 'pass' },
  ],
];

for (const [authenticator, within, without] of table) {
  describe(authenticator.name, () => {
    for (const caller of callers) {
      it(`answers ${caller} with ${within[caller]}, and with ${without[caller]} where there is no project`, () => {
        expect(verdict(authenticator, contextOf(caller, true))).to.equal(within[caller]);
        expect(verdict(authenticator, contextOf(caller, false))).to.equal(without[caller]);
      });
    }

    it('asks for a user unless everybody passes', () => {
      expect(authenticator.needsUser).to.equal(within.anonymous === 401);
    });
  });
}
