import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import type { SshKey } from '../../src/model/ssh-key.js';
import { addPerson, type Person } from '../support/people.js';
import { messageOf, startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/keys';

/** Fields as SSH writes them: each with its length. */
function wire(...fields: (string | Buffer)[]): string {
  const parts = fields.flatMap((field) => {
    const bytes = Buffer.from(field as string, 'latin1');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts).toString('base64');
}

const jwk = (key: KeyObject) => key.export({ format: 'jwk' });
const bytes = (text: string | undefined) => Buffer.from(text ?? '', 'base64url');

/** A positive integer. */
function mpint(number: Buffer): Buffer {
  return number.readUInt8(0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), number]) : number;
}

function ed25519(): string {
  return `ssh-ed25519 ${wire('ssh-ed25519', bytes(jwk(generateKeyPairSync('ed25519').publicKey).x))}`;
}

function rsa(modulusLength: number): string {
  const { n, e } = jwk(generateKeyPairSync('rsa', { modulusLength }).publicKey);
  return `ssh-rsa ${wire('ssh-rsa', mpint(bytes(e)), mpint(bytes(n)))}`;
}

function ecdsa(curve: 'P-256' | 'P-384' | 'P-521', change = (point: Buffer) => point): string {
  const { x, y } = jwk(generateKeyPairSync('ec', { namedCurve: curve }).publicKey);
  const name = `nistp${curve.slice(2)}`;
  const point = Buffer.concat([Buffer.from([4]), bytes(x), bytes(y)]);
  return `ecdsa-sha2-${name} ${wire(`ecdsa-sha2-${name}`, name, change(point))}`;
}

describe(path, () => {
  let server: TestServer;
  let person: Person;

  before(async () => {
    server = await startServer();
    person = await addPerson(server.app, 'with-keys');
  });
  after(() => server.stop());

  it('are stored, listed with their fingerprint, and removed by name, each by its own user', async () => {
    const keys: Record<string, string> = {
      laptop: `${ed25519()} me@laptop`,
      old: rsa(2048),
      small: ecdsa('P-256'),
      middle: ecdsa('P-384'),
      large: `${ecdsa('P-521')} two words`,
    };
    for (const [name, key] of Object.entries(keys)) {
      const { status, body, text } = await person.api.post<SshKey>(path, { name, key: `  ${key}\n` });
      expect(status, `${name}: ${text}`).to.equal(201);
      expect(body).to.include({ name, key });
      expect(body.fingerprint).to.match(/^SHA256:[A-Za-z0-9+/]{43}$/);
    }
    const list = await person.api.get<SshKey[]>(path);
    expect(list.body.map(({ name, key }) => [name, key])).to.deep.equal(Object.entries(keys));
    const other = await addPerson(server.app, 'without-keys');
    expect((await other.api.get<SshKey[]>(path)).body).to.deep.equal([]);
    await other.api.refused('not_found', 'DELETE', `${path}/laptop`);
    expect((await person.api.delete(`${path}/laptop`)).status).to.equal(204);
    await person.api.refused('not_found', 'DELETE', `${path}/laptop`);
    // Others may have the same key.
    expect((await other.api.post(path, { name: 'old', key: keys['old'] })).status).to.equal(201);
  });

  it('are refused twice, by name and by key', async () => {
    const key = ed25519();
    await person.api.post(path, { name: 'one', key });
    const name = await person.api.refused('name_taken', 'POST', path, {
      body: { name: 'one', key: ed25519() },
    });
    expect(name.body.errors?.[0]?.pointer).to.equal('/name');
    const same = await person.api.refused('already_exists', 'POST', path, {
      body: { name: 'two', key: `${key} another comment` },
    });
    expect(same.body.errors?.[0]?.pointer).to.equal('/key');
  });

  it('are refused if they are no key, damaged, weak, or more than a line', async () => {
    const good = ed25519();
    const [, data = ''] = good.split(' ');
    const offCurve = (point: Buffer) =>
      Buffer.concat([point.subarray(0, -1), Buffer.from([point.readUInt8(point.length - 1) ^ 1])]);
    const bad: Record<string, string> = {
      text: 'my key',
      'a type without data': 'ssh-ed25519',
      'an unknown type': `ssh-dss ${wire('ssh-dss', 'x')}`,
      'a member of every object': `constructor ${data}`,
      'options before the key': `command="sh" ${good}`,
      'a private key': '-----BEGIN OPENSSH PRIVATE KEY-----',
      'no base64': 'ssh-ed25519 !!!!',
      'base64 with something behind it': `ssh-ed25519 ${data}=`,
      'another type inside': `ssh-rsa ${data}`,
      'a short key': `ssh-ed25519 ${wire('ssh-ed25519', Buffer.alloc(31))}`,
      'a long key': `ssh-ed25519 ${wire('ssh-ed25519', Buffer.alloc(33))}`,
      'something behind the key': `ssh-ed25519 ${wire('ssh-ed25519', Buffer.alloc(32), 'more')}`,
      'a length beyond the end': `ssh-ed25519 ${Buffer.from([255, 255, 255, 255]).toString('base64')}`,
      'weak RSA': rsa(1024),
      'a negative modulus': `ssh-rsa ${wire('ssh-rsa', Buffer.from([3]), Buffer.alloc(256, 0xff))}`,
      'an even modulus': `ssh-rsa ${wire('ssh-rsa', Buffer.from([3]), Buffer.alloc(257, 0x40))}`,
      'RSA without a modulus': `ssh-rsa ${wire('ssh-rsa', Buffer.from([3]))}`,
      'a point off the curve': ecdsa('P-256', offCurve),
      'half a point': ecdsa('P-256', (point) => point.subarray(0, 33)),
      'two lines': `${good} me\nssh-ed25519 ${data}`,
      'a control character': `${good} me\u0007`,
    };
    for (const [what, key] of Object.entries(bad)) {
      const reply = await person.api.refused('unprocessable', 'POST', path, { body: { name: 'bad', key } });
      expect(reply.body.errors?.[0]?.pointer, what).to.equal('/key');
    }
    const weak = await person.api.refused('unprocessable', 'POST', path, {
      body: { name: 'bad', key: rsa(1024) },
    });
    expect(messageOf(weak)).to.include('1024 bits');
    for (const body of [
      {},
      { name: 'x' },
      { name: 'x/y', key: good },
      { name: 'x', key: good, userId: person.id },
    ])
      await person.api.refused('invalid_body', 'POST', path, { body });
  });
});
