import { expect } from 'chai';
import { ApiError } from '../../../src/model/error.js';
import {
  type Authenticator,
  NoAuthAuthenticator,
  ProjectAdminAuthenticator,
  ProjectMemberAuthenticator,
  RequireUserAuthenticator,
  SuperUserAuthenticator,
} from '../../../src/route/pipeline/authenticator.js';
import { MutableContext, type RequestContext } from '../../../src/route/pipeline/context.js';
import { RequestLifetime } from '../../../src/route/pipeline/request-lifetime.js';

type Caller = 'anonymous' | 'stranger' | 'member' | 'admin' | 'superuser';
const callers: Caller[] = ['anonymous', 'stranger', 'member', 'admin', 'superuser'];

function contextOf(caller: Caller, withProject: boolean): RequestContext {
  const project = {
    id: 'p',
    isMember: (id: string) => id === 'member' || id === 'admin',
    isAdmin: (id: string) => id === 'admin',
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
    { anonymous: 'pass', stranger: 'pass', member: 'pass', admin: 'pass', superuser: 'pass' },
    { anonymous: 'pass', stranger: 'pass', member: 'pass', admin: 'pass', superuser: 'pass' },
  ],
  [
    new RequireUserAuthenticator(),
    { anonymous: 401, stranger: 'pass', member: 'pass', admin: 'pass', superuser: 'pass' },
    { anonymous: 401, stranger: 'pass', member: 'pass', admin: 'pass', superuser: 'pass' },
  ],
  [
    new ProjectMemberAuthenticator(),
    { anonymous: 401, stranger: 404, member: 'pass', admin: 'pass', superuser: 'pass' },
    { anonymous: 401, stranger: 404, member: 404, admin: 404, superuser: 404 },
  ],
  [
    new ProjectAdminAuthenticator(),
    { anonymous: 401, stranger: 404, member: 403, admin: 'pass', superuser: 'pass' },
    { anonymous: 401, stranger: 404, member: 404, admin: 404, superuser: 404 },
  ],
  [
    new SuperUserAuthenticator(),
    { anonymous: 401, stranger: 404, member: 404, admin: 404, superuser: 'pass' },
    { anonymous: 401, stranger: 404, member: 404, admin: 404, superuser: 'pass' },
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
