/** The option auth.oidc: what is taken and refused of each issuer. */
import { expect } from 'chai';
import { ConfigError, loadConfig } from '../../src/config.js';

const uuid = '0193a5c0-0000-7000-8000-000000000001';
const issuer = 'https://e.com';
const audience = ['a'];

function load(oidc: unknown) {
  return loadConfig({ environment: {}, flags: { auth: { oidc } } }).auth.oidc;
}

describe('the option auth.oidc', () => {
  it('takes issuers with TLS or on this machine, and reads them as they are written', () => {
    const right = [
      { issuer: 'https://e.com/', audience: ['a', 'b'], algorithms: ['ES256'], leeway: 0, users: 'existing' },
      { issuer: 'http://127.0.0.1:1', audience },
      { issuer: 'http://localhost/x', audience, grants: [{ group: 'g', superUser: true }] },
      { issuer: 'http://[::1]:7', audience, grants: [{ group: 'g', project: uuid, role: 'reader' }] },
    ];
    expect(load(right)).to.deep.equal(right);
    const environment = { COPSE_AUTH_OIDC: JSON.stringify(right) };
    expect(loadConfig({ environment }).auth.oidc).to.deep.equal(right);
  });

  it('refuses everything else with the place', () => {
    const wrong: [unknown[], RegExp][] = [
      [['https://e.com'], /^auth\.oidc\.0 must be object/],
      [[{ issuer }], /audience/],
      [[{ issuer, audience: [] }], /audience/],
      [[{ issuer, audience, more: 1 }], /more/],
      [[{ issuer: 'http://e.com', audience }], /^auth\.oidc\.0\.issuer must be an https URL/],
      [[{ issuer: 'http://127.0.0.1.e.com', audience }], /^auth\.oidc\.0\.issuer must be an https URL/],
      [[{ issuer: 'ftp://e.com', audience }], /^auth\.oidc\.0\.issuer/],
      ...['HS256', 'none', 'rs256'].map((one): [unknown[], RegExp] => [
        [{ issuer, audience, algorithms: [one] }],
        /^auth\.oidc\.0\.algorithms\.0 must be one of RS256, /,
      ]),
      [['a', 'b'].map((one) => ({ issuer, audience: [one] })), /^auth\.oidc must not contain duplicates/],
      ...[
        {},
        { superUser: false },
        { superUser: true, role: 'admin' },
        { role: 'admin' },
        { project: uuid },
        { project: uuid, organization: uuid, role: 'admin' },
        { project: 'apples', role: 'admin' },
        { project: uuid, role: 'owner' },
      ].map((grant): [unknown[], RegExp] => [
        [{ issuer, audience, grants: [{ group: 'g', ...grant }] }],
        /^auth\.oidc\.0\.grants\.0/,
      ]),
    ];
    for (const [value, message] of wrong)
      expect(() => load(value), JSON.stringify(value)).to.throw(ConfigError, message);
  });
});
