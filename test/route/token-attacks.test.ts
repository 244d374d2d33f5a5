/** Forged, stale and misused tokens of OpenID Connect issuers, and issuers that fail. */
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { connect } from 'node:net';
import { expect } from 'chai';
import { base64url, exportJWK, exportSPKI } from 'jose';
import { Api, type ErrorAnswer, type Reply } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { audience, newKey, TestIssuer } from '../support/oidc.js';
import { addPerson } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const encode = (value: object) => base64url.encode(JSON.stringify(value));

describe('attacks with tokens', () => {
  let issuer: TestIssuer;
  let other: TestIssuer;
  let rotating: TestIssuer;
  let failing: TestIssuer;
  let weak: TestIssuer;
  let lying: TestIssuer[];
  let all: TestIssuer[];
  let server: TestServer;

  before(async () => {
    all = await Promise.all(Array.from({ length: 10 }, () => TestIssuer.start()));
    const [first, second, third, fourth, fifth, ...rest] = all;
    [issuer, other, rotating, failing, weak] = [first, second, third, fourth, fifth] as [
      TestIssuer,
      TestIssuer,
      TestIssuer,
      TestIssuer,
      TestIssuer,
    ];
    lying = rest;
    const of = ({ url }: TestIssuer, more: object = {}) => ({ issuer: url, audience: [audience], ...more });
    const oidc = [
      of(issuer, { leeway: 5 }),
      of(rotating, { keysMaxAge: 0.5, keysCooldown: 0.1 }),
      of(failing, { timeout: 0.3, keysMaxAge: 0.2 }),
      of(weak),
      ...lying.map((one) => of(one)),
    ];
    server = await startServer({ flags: { auth: { oidc }, limits: { requests: 0, failuresPerAddress: 0 } } });
  });
  after(async () => {
    await Promise.all(all.map((one) => one.close()));
    await server.stop();
  });

  const ask = (token: string) =>
    Api.withKey(server.url, token).call<ErrorAnswer>('GET', '/api/v2/user', { failing: 503 });

  async function refused(token: string): Promise<Reply<ErrorAnswer>> {
    const reply = await ask(token);
    expect(reply.status, reply.text).to.equal(401);
    expect(reply.headers.get('www-authenticate')).to.match(
      /^Bearer realm="copse", error="invalid_token", resource_metadata="http/,
    );
    expect(reply.body.message).to.equal('The credential is not valid.');
    return reply;
  }

  async function accepted(token: string): Promise<void> {
    const reply = await ask(token);
    expect(reply.status, reply.text).to.equal(200);
  }

  const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

  it('a genuine token is accepted, so that the others are refused for their faults', async () => {
    await accepted(await issuer.token());
    await accepted(await issuer.token({ aud: ['x', audience] }, { typ: 'JWT' }));
  });

  it('alg none', async () => {
    const [, payload = ''] = (await issuer.token()).split('.');
    for (const alg of ['none', 'None', 'NONE', '']) {
      await refused(`${encode({ alg, typ: 'JWT' })}.${payload}.`);
      await refused(`${encode({ alg, typ: 'JWT', kid: 'one' })}.${payload}.AAAA`);
    }
    await refused(`${encode({ typ: 'JWT' })}.${payload}.`);
    for (const header of [
      { alg: 7 },
      { alg: ['RS256'] },
      { alg: 'RS256', typ: 7 },
      { alg: 'RS256', kid: {} },
    ])
      await refused(`${encode(header)}.${payload}.AAAA`);
  });

  it('HS256 with the public key as the secret', async () => {
    const [, payload = ''] = (await issuer.token()).split('.');
    const secrets = [
      await exportSPKI(issuer.key.publicKey),
      JSON.stringify(await exportJWK(issuer.key.publicKey)),
    ];
    for (const alg of ['HS256', 'HS512']) {
      for (const secret of secrets) {
        const content = `${encode({ alg, typ: 'at+jwt', kid: 'one' })}.${payload}`;
        const hmac = createHmac(alg === 'HS256' ? 'sha256' : 'sha512', secret).update(content);
        await refused(`${content}.${hmac.digest('base64url')}`);
      }
    }
  });

  it('another algorithm than the key’s, and one that is not allowed', async () => {
    const [, payload = ''] = (await issuer.token()).split('.');
    await refused(await issuer.token({}, { alg: 'RS384' }, await newKey('one', 'RS384')));
    await refused(await issuer.token({}, { alg: 'ES256' }, await newKey('one', 'ES256')));
    await refused(`${encode({ alg: 'ES256', kid: 'one' })}.${payload}.${'A'.repeat(86)}`);
  });

  it('a kid that is a path, a statement, an address or unknown', async () => {
    const kids = [
      '../../../../etc/passwd',
      '/dev/null',
      "' OR 1=1 --",
      'https://evil.example/key',
      '__proto__',
      'x',
    ];
    for (const kid of kids) await refused(await issuer.token({}, { kid }, await newKey('one')));
    await refused(await issuer.token({}, { kid: 7 as never }, await newKey('one')));
    // Asked for at most once more within the cooldown.
    expect(issuer.asked.filter((path) => path === '/keys')).to.have.length.at.most(2);
  });

  it('a key, or the address of one, in the header', async () => {
    const forged = await newKey('forged');
    const jwk = await exportJWK(forged.publicKey);
    const before = other.asked.length;
    for (const header of [
      { jwk },
      { jwk, kid: 'one' },
      { jku: `${other.url}/keys` },
      { jku: `${other.url}/keys`, kid: 'one' },
      { x5u: `${other.url}/keys`, kid: 'one' },
      { x5c: ['AAAA'], kid: 'one' },
    ])
      await refused(await issuer.token({}, header, forged));
    expect(other.asked).to.have.length(before);
  });

  it('expired, not yet valid, issued in the future, and without an end', async () => {
    await refused(await issuer.token({ exp: inSeconds(-10) }));
    await refused(await issuer.token({ nbf: inSeconds(60) }));
    await refused(await issuer.token({ iat: inSeconds(60) }));
    await refused(await issuer.token({ exp: null }));
    await refused(await issuer.token({ exp: 'never' }));
    // Within the leeway of 5 s.
    await accepted(await issuer.token({ exp: inSeconds(-2) }));
    await accepted(await issuer.token({ nbf: inSeconds(3), iat: inSeconds(3) }));
  });

  it('a token that expires while it is remembered', async () => {
    const token = await issuer.token({ exp: inSeconds(-4) });
    await accepted(token);
    await eventually(async () => (await ask(token)).status === 401, { within: 8000 });
  });

  it('for another audience, for none, from another issuer, and of nobody', async () => {
    await refused(await issuer.token({ aud: 'https://other.example' }));
    await refused(await issuer.token({ aud: `${audience}/` }));
    await refused(await issuer.token({ aud: null }));
    await refused(await issuer.token({ sub: null }));
    await refused(await issuer.token({ sub: '' }));
    await refused(await issuer.token({ sub: 7 }));
    await refused(await issuer.token({ iss: [issuer.url] }));
    await refused(await issuer.token({ sub: 'x'.repeat(300) }));
    await refused(await issuer.token({ iss: null }));
    await refused(await issuer.token({ iss: `${issuer.url}/` }));
    await refused(await issuer.token({ iss: rotating.url }));
    await refused(await other.token());
    expect(other.asked).to.deep.equal([]);
  });

  it('of another type, bound to a key of the sender, or with an unknown critical member', async () => {
    for (const typ of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'JOSE'])
      await refused(await issuer.token({}, { typ }));
    await refused(await issuer.token({ cnf: { jkt: 'x' } }));
    const [, payload = ''] = (await issuer.token()).split('.');
    for (const header of [
      { alg: 'RS256', kid: 'one', crit: ['exp'], exp: 1 },
      { alg: 'RS256', kid: 'one', crit: ['b64'], b64: false },
      { alg: 'RS256', kid: 'one', crit: [] },
    ])
      await refused(`${encode(header)}.${payload}.AAAA`);
  });

  it('oversized', async () => {
    await refused(await issuer.token({ padding: 'x'.repeat(8000) }));
    const huge = await Api.withKey(server.url, await issuer.token({ padding: 'x'.repeat(40_000) })).call(
      'GET',
      '/api/v2/user',
    );
    expect(huge.status).to.equal(431);
  });

  it('damaged in any part', async () => {
    const [header = '', payload = '', signature = ''] = (await issuer.token()).split('.');
    for (const token of [
      `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
      `${header}.${payload}.`,
      `${header}..${signature}`,
      `${header}.${encode({ iss: issuer.url })}.${signature}`,
      `${encode({ alg: 'RS256' })}.${payload}.${signature}`,
      `eyJ.${payload}.${signature}`,
      `${header}.eyJ.${signature}`,
      `${header}.${base64url.encode('null')}.${signature}`,
      `${header}.${base64url.encode('[]')}.${signature}`,
      `${header}.${payload}.${signature}.${signature}`,
      `${base64url.encode('"x"')}.${payload}.${signature}`,
    ])
      await refused(token);
  });

  it('a signature with a weak key that the issuer itself publishes', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const jwk = publicKey.export({ format: 'jwk' });
    const [, payload = ''] = (await weak.token()).split('.');
    weak.published = [{ ...weak.key, jwk: { ...jwk, kid: 'weak', alg: 'RS256' } }];
    const reply = await ask(`${encode({ alg: 'RS256', kid: 'weak' })}.${payload}.${'A'.repeat(171)}`);
    expect(reply.status).to.be.oneOf([401, 503]);
  });

  it('two Authorization headers', async () => {
    const person = await addPerson(server.app, 'twice');
    const { hostname, port } = new URL(server.url);
    const token = await issuer.token();
    for (const [one, two] of [
      [token, person.key],
      [person.key, token],
      [token, token],
    ]) {
      const status = await new Promise<string>((resolve, reject) => {
        const socket = connect(Number(port), hostname, () => {
          socket.end(
            `GET /api/v2/user HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${one}\r\nauthorization: Bearer ${two}\r\n\r\n`,
          );
        });
        let text = '';
        socket.on('data', (chunk) => (text += String(chunk)));
        socket.on('close', () => resolve(text.split('\r\n')[0] ?? ''));
        socket.on('error', reject);
      });
      expect(status).to.equal('HTTP/1.1 400 Bad Request');
    }
    await new Api(server.url, { Authorization: `Bearer ${token}`, 'Api-Key': person.key }).refused(
      'invalid_parameter',
      'GET',
      '/api/v2/user',
    );
  });

  it('a token in the query or in the body is no credential', async () => {
    const anonymous = new Api(server.url);
    const token = await issuer.token();
    await anonymous.refused('unauthorized', 'GET', `/api/v2/user?access_token=${token}`);
    await anonymous.refused('unauthorized', 'POST', '/api/v2/keys', { body: { access_token: token } });
  });

  describe('keys of the issuer', () => {
    it('are replaced: new ones work soon, withdrawn ones no longer than keysMaxAge', async () => {
      const old = await rotating.token({ sub: 'rotated' });
      await accepted(old);
      const next = await newKey('two');
      rotating.published = [rotating.key, next];
      const fresh = await rotating.token({ sub: 'rotated' }, {}, next);
      await eventually(async () => (await ask(fresh)).status === 200);
      await accepted(old);
      rotating.published = [next];
      await eventually(async () => (await ask(old)).status === 401, { within: 2000 });
      await accepted(fresh);
      rotating.key = next;
    });
  });

  describe('an issuer that fails', () => {
    const failures: [string, () => void][] = [
      ['hangs', () => (failing.hold = () => new Promise(() => undefined))],
      ['responds with 500', () => (failing.status = 500)],
      ['redirects', () => (failing.status = 302)],
      ['publishes no keys but nonsense', () => (failing.keys = { keys: 'none' })],
      [
        'publishes more than anybody needs',
        () => (failing.keys = { keys: [], padding: 'x'.repeat(2 ** 20) }),
      ],
    ];
    const works = () => {
      failing.hold = () => Promise.resolve();
      failing.status = 200;
      failing.keys = undefined;
    };
    for (const [what, fail] of failures) {
      it(`and ${what} makes its tokens undecided (503) within a bounded time, and no others`, async () => {
        const token = await failing.token();
        await eventually(async () => (await ask(token)).status === 200);
        fail();
        // Once its keys are older than keysMaxAge.
        const reply = await eventually(async () => {
          const started = performance.now();
          const one = await ask(token);
          expect(performance.now() - started).to.be.below(2000);
          return one.status === 503 ? one : undefined;
        });
        expect(reply.body.code).to.equal('unavailable');
        expect(reply.headers.get('retry-after')).to.equal('2');
        expect(reply.headers.get('www-authenticate')).to.be.null;
        // Undecidable is not everything.
        await refused(`${encode({ alg: 'none' })}.${encode({ iss: failing.url })}.`);
        await accepted(await issuer.token());
        works();
        await eventually(async () => (await ask(token)).status === 200);
      });
    }

    const lies: [string, (one: TestIssuer) => unknown][] = [
      ['are of another issuer', () => ({ issuer: other.url, jwks_uri: `${other.url}/keys` })],
      ['are null', () => null],
      ['name no keys', ({ url }) => ({ issuer: url })],
      [
        'name keys elsewhere without TLS',
        ({ url }) => ({ issuer: url, jwks_uri: 'http://evil.example/keys' }),
      ],
      ['have no end', ({ url }) => ({ issuer: url, padding: 'x'.repeat(2 ** 20) })],
    ];
    for (const [index, [what, lie]] of lies.entries()) {
      it(`and whose metadata ${what} makes its tokens undecided (503)`, async () => {
        const one = lying[index] ?? expect.fail();
        const truth = one.metadata;
        one.metadata = lie(one);
        const token = await one.token();
        expect((await ask(token)).status).to.equal(503);
        expect(one.asked).not.to.include('/keys');
        expect(other.asked).to.deep.equal([]);
        one.metadata = truth;
        await eventually(async () => (await ask(token)).status === 200);
      });
    }
  });

  it('leave no token in the log', () => {
    const text = JSON.stringify(server.log.entries.map(({ details, message }) => [message, details]));
    expect(text).not.to.match(/eyJ[A-Za-z0-9_-]{20,}/);
  });
});
