/** The line of a request in the log answers what operators ask: which address, which error, and why a caller was refused. */
import { inspect } from 'node:util';
import { expect } from 'chai';
import { replace } from '../../../src/data/store/port.js';
import { users } from '../../../src/data/user.js';
import { pathForLog } from '../../../src/route/pipeline/access-log.js';
import { eventually } from '../../support/eventually.js';
import { wire, type WireReply } from '../../support/fuzz-http.js';
import { absentId } from '../../support/fuzz-seed.js';
import { converse } from '../../support/fuzz-socket.js';
import { addPerson, addProject } from '../../support/people.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';

describe('the line of a request', () => {
  let server: TestServer;
  let count = 0;
  const lineOf = (requestId: string) =>
    eventually(
      () =>
        server.log.entries.find(
          ({ message, details }) => message === 'request' && details['requestId'] === requestId,
        )?.details,
    );
  const ask = async (
    target: string,
    headers: Record<string, string> = { Authorization: `Bearer ${adminKey}` },
    method = 'GET',
    body?: string,
  ) => {
    count += 1;
    const id = `line-${count}`;
    const given = { 'X-Request-Id': id, ...headers };
    const reply = await wire(server.url + target, { method, headers: given, body });
    return { reply, line: await lineOf(id) };
  };

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('has the path with its ids, without the query', async () => {
    const { metadata } = await server.running('lined');
    for (const [target, shown] of [
      [`${path}/${metadata.id}`, `${path}/${metadata.id}`],
      [`${path}?limit=1&tag=secret%3Dx`, path],
      [`/api/v2/instances/${absentId}/consoleoutput`, `/api/v2/instances/${absentId}/consoleoutput`],
      ['/nowhere/at/all?x', '/nowhere/at/all'],
      ['/', '/'],
    ] as const)
      expect((await ask(target)).line['path'], target).to.equal(shown);
    // A refusal of the whole tree has it too.
    const { line } = await ask(path, { Authorization: `Bearer ${adminKey}` }, 'PURGE');
    expect(line).to.include({ path, status: 405, code: 'method_not_allowed' });
  });

  it('has the code of an error, and none without', async () => {
    const json = { Authorization: `Bearer ${adminKey}`, 'Content-Type': 'application/json' };
    expect((await ask(path)).line).not.to.have.any.keys('code', 'reason');
    for (const [target, method, body, code] of [
      [`${path}?limt=1`, 'GET', undefined, 'invalid_parameter'],
      [`${path}/${absentId}`, 'GET', undefined, 'not_found'],
      [`${path}/${absentId}`, 'HEAD', undefined, 'not_found'],
      ['/nowhere', 'GET', undefined, 'not_found'],
      [path, 'DELETE', undefined, 'method_not_allowed'],
      [path, 'POST', '{', 'malformed_json'],
      [path, 'POST', '{}', 'invalid_body'],
    ] as const)
      expect((await ask(target, json, method, body)).line['code'], `${method} ${target}`).to.equal(code);
  });

  it('has the code of a refusal that was kept for its repeat', async () => {
    const headers = {
      Authorization: `Bearer ${adminKey}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': 'lined',
    };
    const wish = JSON.stringify(server.instanceBody('lined-wrong', { spec: { imageId: absentId } }));
    for (let round = 0; round < 2; round += 1) {
      const { line } = await ask(path, headers, 'POST', wish);
      expect(line).to.include({ status: 400, code: 'invalid_reference' });
    }
  });

  it('has the code, and a path where there is one, of what the HTTP parser refuses', async () => {
    const { replies } = await converse(server.url, 'GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n');
    const line = await lineOf(replies[0]?.headers.get('x-request-id') ?? '');
    expect(line).to.include({ status: 400, code: 'invalid_parameter', path: null });
    const broken = `POST ${path}/${absentId}/stop HTTP/1.1\r\nHost: x\r\nX-Request-Id: broken-chunk\r\nAuthorization: Bearer ${adminKey}\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n`;
    await converse(server.url, broken);
    expect(await lineOf('broken-chunk')).to.include({ status: 400, path: `${path}/${absentId}/stop` });
  });

  it('says why a caller got 401, of which the client learns nothing', async () => {
    const active = await addPerson(server.app, 'lively');
    const resting = await addPerson(server.app, 'resting', { active: false });
    const unknown = 'copse_unknown';
    const cases: [Record<string, string>, string][] = [
      [{ Authorization: `Bearer ${unknown}` }, 'unknown'],
      [{ 'Api-User': 'nobody', 'Api-Key': unknown }, 'unknown'],
      [{ 'Api-User': active.name, 'Api-Key': unknown }, 'wrong'],
      [{ 'Api-User': active.name, 'Api-Key': adminKey }, 'wrong'],
      [{ 'Api-User': 'nobody', 'Api-Key': active.key }, 'wrong'],
      [{ Authorization: `Bearer ${resting.key}` }, 'inactive'],
      [{ 'Api-User': resting.name, 'Api-Key': resting.key }, 'inactive'],
      [{ Authorization: 'Basic YTpi' }, 'malformed'],
      [{ Authorization: 'Bearer' }, 'malformed'],
      [{ 'Api-Key': active.key }, 'malformed'],
    ];
    const seen = new Set<string>();
    for (const [headers, reason] of cases) {
      // Twice: what is remembered must not answer otherwise.
      for (let round = 0; round < 2; round += 1) {
        const { reply, line } = await ask(path, headers);
        expect(line, inspect(headers)).to.include({ status: 401, code: 'unauthorized', reason, user: null });
        seen.add(constantPart(reply));
      }
    }
    expect([...seen]).to.have.length(1);
    const { line } = await ask(path, {});
    expect(line).to.include({ status: 401, code: 'unauthorized', reason: 'missing' });
    expect((await ask(path, { 'Api-User': active.name })).line['reason']).to.equal('missing');
  });

  it('says so of a user who was active a moment ago', async () => {
    const person = await addPerson(server.app, 'leaving');
    const headers = { Authorization: `Bearer ${person.key}` };
    expect((await ask(path, headers)).line).to.include({ status: 200, user: 'leaving' });
    const found = await server.app.store.get(users, person.id);
    if (found === undefined) throw new Error('no user');
    await server.app.store.write([replace(users, found, { ...found.value, active: false })]);
    expect((await ask(path, headers)).line).to.include({ status: 401, reason: 'inactive' });
  });

  it('tells hidden from absent, which clients cannot', async () => {
    const { metadata } = await server.running('hidden');
    const stranger = await addPerson(server.app, 'stranger');
    await addProject(server.app, { name: 'elsewhere', members: [stranger] });
    const headers = { Authorization: `Bearer ${stranger.key}` };
    const hidden = await ask(`${path}/${metadata.id}`, headers);
    const absent = await ask(`${path}/${absentId}`, headers);
    expect(hidden.line).to.include({ code: 'not_found', reason: 'no member', user: 'stranger' });
    expect(absent.line).to.include({ code: 'not_found' }).and.not.to.include({ reason: 'no member' });
    expect(constantPart(hidden.reply)).to.equal(constantPart(absent.reply));
    const restart = await ask('/api/v2/admin/restart', headers, 'POST', '{}');
    expect(restart.line).to.include({ code: 'not_found', reason: 'no superuser' });
  });

  it('shows no secret that stands in the address, is printable, and not long', async () => {
    const person = await addPerson(server.app, 'careless');
    const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl';
    for (const target of [
      `${path}/${person.key}`,
      `${path}/${adminKey}`,
      `${path}/${token}`,
      `/${encodeURIComponent(`key=${person.key}`)}`,
      `/login;token=${token}`,
      `/password=hunter2`,
      `/password%3Dhunter2/x`,
      `${path}?key=${person.key}`,
      `/${Buffer.from(person.key).toString('hex').replaceAll(/../g, '%$&')}`,
    ]) {
      const { line } = await ask(target);
      const shown = String(line['path']);
      expect(shown, target).to.match(/^\//);
      for (const secret of [person.key, person.key.slice(6), adminKey, token, 'hunter2', '%63%6f%70'])
        expect(shown.includes(secret), `${secret} in ${shown}`).to.be.false;
    }
    const { line } = await ask(`/${'long/'.repeat(1500)}`);
    expect(String(line['path'])).to.have.length.below(300);
  });
});

/** What a client could tell refusals apart by. */
function constantPart({ status, headers, bytes }: WireReply): string {
  const body = JSON.parse(bytes.toString()) as Record<string, unknown>;
  const names = Object.keys(headers).sort();
  return JSON.stringify([status, names, headers['www-authenticate'], { ...body, requestId: '' }]);
}

describe('a path for the log', () => {
  it('is the path as it came, where that is harmless', () => {
    for (const harmless of [path, `${path}/${absentId}`, '/docs/swagger-ui.css', '/', '/a/../b', '/a//b'])
      expect(pathForLog(`${harmless}?x=y`)).to.equal(harmless);
  });

  it('has nothing that a terminal would act on, and no password of an absolute address', () => {
    expect(pathForLog('/\u009b31m\u0085\u00e9')).to.match(/^[\x21-\x7e]+$/);
    expect(pathForLog('http://user:hunter2@host/health?x')).to.equal('/health');
    expect(pathForLog('*')).to.equal('*');
    expect(pathForLog('user:hunter2@host:443')).not.to.include('hunter2');
  });
});
