import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { isAllowedAddress } from '../../src/model/public-address.js';
import { AddressRefused, PublicClient, type Resolved } from '../../src/platform/public-client.js';

const timeout = 2000;

describe('a request to an address that a user names', () => {
  let server: Server;
  let port: number;
  let hits = 0;
  let answer: { status: number; headers?: Record<string, string>; body?: Buffer } = { status: 200 };

  before(async () => {
    server = createServer((_request, response) => {
      hits += 1;
      response.writeHead(answer.status, answer.headers ?? {}).end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    hits = 0;
    answer = { status: 200 };
  });

  async function post(url: string, allowed: string[] = [], resolve?: (host: string) => Promise<Resolved[]>) {
    const isAllowed = (address: string) => isAllowedAddress(address, allowed);
    const client = new PublicClient({ isAllowed, timeout, ...(resolve === undefined ? {} : { resolve }) });
    try {
      return await client.post(url, {}, '{}', AbortSignal.timeout(5000));
    } finally {
      await client.close();
    }
  }

  async function refused(...parameters: Parameters<typeof post>): Promise<void> {
    const error = await post(...parameters).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(error, parameters[0]).to.be.instanceOf(AddressRefused);
    expect(hits).to.equal(0);
  }

  it('reaches no address inside, however it is spelled', async () => {
    for (const host of [
      ...[
        '127.0.0.1',
        '127.1',
        '2130706433',
        '0x7f000001',
        '0177.0.0.1',
        '0x7f.1',
        '127.0.0.1.',
        '0',
        '0.0.0.0',
      ],
      ...['10.0.0.1', '172.16.0.1', '192.168.0.1', '169.254.169.254', '100.100.100.200', '168.63.129.16'],
      ...[
        '224.0.0.1',
        '255.255.255.255',
        '[::1]',
        '[::]',
        '[::ffff:127.0.0.1]',
        '[::ffff:7f00:1]',
        '[::7f00:1]',
      ],
      ...[
        '[64:ff9b::7f00:1]',
        '[64:ff9b:1::7f00:1]',
        '[2002:7f00:1::]',
        '[fe80::1]',
        '[fc00::1]',
        '[fd00:ec2::254]',
      ],
      ...['[ff02::1]', '[fec0::1]', '[2001::1]', '[2001:db8::1]', '１２７.0.0.1', '127。0。0。1'],
    ])
      await refused(`http://${host}:${port}/`);
  });

  it('reaches no name that resolves to one, alone or beside a public address', async () => {
    await refused(`http://localhost:${port}/`);
    const inside = { address: '127.0.0.1', family: 4 };
    await refused(`http://name.example:${port}/`, [], () => Promise.resolve([inside]));
    const outside = { address: '93.184.215.14', family: 4 };
    await refused(`http://name.example:${port}/`, [], () => Promise.resolve([outside, inside]));
    await refused(`http://name.example:${port}/`, [], () => Promise.resolve([]));
  });

  it('connects to what was checked: a second answer of DNS is never asked for', async () => {
    let asked = 0;
    const changing = () => {
      asked += 1;
      return Promise.resolve([{ address: asked === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }]);
    };
    // Only the first answer is allowed, and the server listens only there.
    const { status } = await post(`http://name.example:${port}/`, ['127.0.0.1'], changing);
    expect([status, asked, hits]).to.deep.equal([200, 1, 1]);
  });

  it('follows no redirect, and drops what it does not need of an answer', async () => {
    answer = { status: 307, headers: { location: 'http://169.254.169.254/latest/meta-data/' } };
    expect((await post(`http://127.0.0.1:${port}/`, ['127.0.0.0/8'])).status).to.equal(307);
    expect(hits).to.equal(1);
    answer = { status: 200, body: Buffer.alloc(2 ** 24) };
    expect((await post(`http://127.0.0.1:${port}/`, ['127.0.0.1'])).status).to.equal(200);
  });

  it('takes ranges of both families as allowed, and nothing beside them', () => {
    expect(isAllowedAddress('10.1.2.3', ['10.0.0.0/8'])).to.equal(true);
    expect(isAllowedAddress('11.1.2.3', [])).to.equal(true);
    expect(isAllowedAddress('::ffff:10.1.2.3', ['10.0.0.0/8'])).to.equal(true);
    expect(isAllowedAddress('10.1.2.3', ['fd00::/8', '10.1.2.4'])).to.equal(false);
    expect(isAllowedAddress('fd12::1', ['fd00::/8'])).to.equal(true);
    expect(isAllowedAddress('2606:4700::1111', [])).to.equal(true);
    expect(isAllowedAddress('example.com', ['0.0.0.0/0'])).to.equal(false);
  });
});
