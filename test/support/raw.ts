/** Bytes on a socket, for what fetch would mend or hide. */
import { connect } from 'node:net';

export interface RawReply {
  status: number;
  headers: Map<string, string>;
  body: string;
}

const patience = 8000;

/** Sends the bytes and reads one answer: to its Content-Length, or to the end of the connection. */
export function sendRaw(
  url: string,
  bytes: string | Buffer | readonly (string | Buffer)[],
): Promise<RawReply | undefined> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let received = Buffer.alloc(0);
    const timer = setTimeout(() => {
      socket.destroy();
      reject(
        new Error(
          `no whole answer within ${patience} ms; so far: ${received.toString('latin1').slice(0, 500)}`,
        ),
      );
    }, patience);
    const end = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(parse(received));
    };
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (isWhole(received)) end();
    });
    socket.on('error', end);
    socket.on('close', end);
    socket.on('connect', () => {
      for (const part of typeof bytes === 'string' || Buffer.isBuffer(bytes) ? [bytes] : bytes)
        socket.write(part);
    });
  });
}

/** An open connection on which nothing is said. `close` ends it. */
export function openSilently(url: string, bytes = ''): Promise<{ close(): void }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.on('error', reject);
    socket.on('connect', () => {
      socket.off('error', reject);
      socket.on('error', () => undefined);
      socket.write(bytes, () => resolve({ close: () => socket.destroy() }));
    });
  });
}

function isWhole(received: Buffer): boolean {
  const head = received.indexOf('\r\n\r\n');
  if (head === -1) return false;
  const length = /^content-length: *(\d+)/im.exec(received.subarray(0, head).toString('latin1'))?.[1];
  return length !== undefined && received.length >= head + 4 + Number(length);
}

function parse(received: Buffer): RawReply | undefined {
  const head = received.indexOf('\r\n\r\n');
  if (head === -1) return undefined;
  const [first = '', ...lines] = received.subarray(0, head).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  const headers = new Map(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  );
  return { status, headers, body: received.subarray(head + 4).toString('utf8') };
}
