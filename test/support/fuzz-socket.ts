/** A conversation over a raw socket: bytes out, and every complete response that comes back. */
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { checkError, knownConformance } from './conform.js';
import { adminKey } from './server.js';

/** The admin's credential, as a header line. */
export const auth = `Authorization: Bearer ${adminKey}\r\n`;

/** The headers of a create, without its length and end. */
export const post = `POST /api/v2/instances HTTP/1.1\r\nHost: x\r\n${auth}Content-Type: application/json\r\n`;

/** A request for a target, after which the server closes. */
export const get = (target: string, method = 'GET') =>
  `${method} ${target} HTTP/1.1\r\nHost: x\r\n${auth}Connection: close\r\n\r\n`;

export interface SocketReply {
  status: number;
  version: string;
  headers: Map<string, string>;
  body: string;
}

export interface Conversation {
  replies: SocketReply[];
  /** Whether the server closed the connection. */
  closed: boolean;
  /** Milliseconds from the last byte sent to the end. */
  time: number;
}

export interface ConversationOptions {
  /** Number of final responses (not 1xx) after which it is over; by default, when the server closes the connection. */
  answers?: number;
  /** Milliseconds after which it fails, because the server hangs. */
  within?: number;
  /** Closes this side after the last byte. */
  end?: boolean;
  /** The requests are HEAD: no response has a body. */
  head?: boolean;
}

type Bytes = string | Buffer;

/**
 * Parts are written one after the other, each when the previous one has been sent. A function gets what was received so
 * far.
 */
export type Script = Bytes | readonly (Bytes | ((socket: Socket) => Promise<void>))[];

export async function converse(
  url: string,
  script: Script,
  options: ConversationOptions = {},
): Promise<Conversation> {
  const { received, ...rest } = await talk(url, script, options);
  return { replies: checkedReplies(url, script, received, options.head), ...rest };
}

/** The complete responses; each to a request with a recognisable request line is checked against the document. */
export function checkedReplies(url: string, script: Script, received: Buffer, head = false): SocketReply[] {
  const replies = repliesOf(received, head);
  const conformance = knownConformance(url);
  const sent = linesOf(script);
  const final = replies.filter(({ status }) => status >= 200);
  for (const [index, { status, headers, body }] of final.entries()) {
    const { method, target } = sent[index] ?? { method: '', target: '' };
    if (method === '' && status < 400) continue;
    conformance.checkBytes(method, target, status, new Headers([...headers]), Buffer.from(body));
  }
  return replies;
}

/** The request lines of a script, as far as the end of each request can be determined. */
function linesOf(script: Script): { method: string; target: string }[] {
  const parts = typeof script === 'string' || Buffer.isBuffer(script) ? [script] : script;
  const fixed = parts.filter((part) => typeof part !== 'function');
  let rest = Buffer.concat(fixed.map((part) => Buffer.from(part))).toString('latin1');
  const lines: { method: string; target: string }[] = [];
  for (;;) {
    const [head, method = '', target = '', fields = ''] =
      /^(?:\r\n)*([A-Z]+) (\S+) HTTP\/1\.[01]\r\n(?:((?:[^\r\n]+\r\n)*)\r\n)?/.exec(rest) ?? [];
    if (head === undefined) return lines;
    lines.push({ method, target });
    const lengths = [...fields.matchAll(/^content-length: *(\d+) *\r$/gim)];
    if (!head.endsWith('\r\n\r\n') || lengths.length > 1 || /^transfer-encoding:/im.test(fields))
      return lines;
    rest = rest.slice(head.length + Number(lengths[0]?.[1] ?? 0));
  }
}

function talk(
  url: string,
  script: Script,
  options: ConversationOptions,
): Promise<Omit<Conversation, 'replies'> & { received: Buffer }> {
  const { answers = Infinity, within = 8000, end = false, head = false } = options;
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let received = Buffer.alloc(0);
    let sent = performance.now();
    const timer = setTimeout(() => {
      socket.destroy();
      reject(
        new Error(
          `no end of the answer within ${within} ms; so far: ${received.toString('latin1').slice(0, 500)}`,
        ),
      );
    }, within);
    const finish = (closed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ received, closed, time: performance.now() - sent });
    };
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (repliesOf(received, head).filter(({ status }) => status >= 200).length >= answers) finish(false);
    });
    // A reset comes if the server closes while this side is still sending; its earlier response has arrived.
    socket.on('error', () => finish(true));
    socket.on('close', () => finish(true));
    socket.on('connect', () => {
      void play(socket, typeof script === 'string' || Buffer.isBuffer(script) ? [script] : script).then(
        () => {
          sent = performance.now();
          if (end) socket.end();
        },
      );
    });
  });
}

async function play(
  socket: Socket,
  parts: readonly (Bytes | ((socket: Socket) => Promise<void>))[],
): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return;
    if (typeof part === 'function') await part(socket);
    else await new Promise<void>((resolve) => socket.write(part, () => resolve()));
  }
}

/** The complete responses at the beginning of the bytes. */
function repliesOf(received: Buffer, head: boolean): SocketReply[] {
  const replies: SocketReply[] = [];
  let at = 0;
  for (;;) {
    const split = received.indexOf('\r\n\r\n', at);
    if (split === -1) return replies;
    const [first = '', ...lines] = received.subarray(at, split).toString('latin1').split('\r\n');
    const [, version = '', status = ''] = /^HTTP\/(1\.[01]) (\d{3})/.exec(first) ?? [];
    if (status === '') throw new Error(`not an answer: ${first.slice(0, 200)}`);
    const headers = new Map(
      lines.map((line): [string, string] => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    const bare = head || /^(1..|204|304)$/.test(status);
    const chunked = headers.get('transfer-encoding') === 'chunked' && !bare;
    const begin = split + 4;
    const end = chunked
      ? chunksEnd(received, begin)
      : begin + (bare ? 0 : Number(headers.get('content-length') ?? 0));
    if (end === undefined || end > received.length) return replies;
    const raw = received.subarray(begin, end);
    replies.push({
      status: Number(status),
      version,
      headers,
      body: chunked ? unchunked(raw) : raw.toString(),
    });
    at = end;
  }
}

function chunksEnd(received: Buffer, begin: number): number | undefined {
  const end = received.indexOf('0\r\n\r\n', begin);
  return end === -1 ? undefined : end + 5;
}

function unchunked(raw: Buffer): string {
  return raw
    .toString()
    .replaceAll(/(^|\r\n)[0-9a-f]+\r\n/gi, '')
    .replace(/\r\n$/, '');
}

/** The single expected response. */
export function only(conversation: Conversation, where: string): SocketReply {
  const final = conversation.replies.filter(({ status }) => status >= 200);
  const [reply] = final;
  if (reply === undefined || final.length !== 1)
    throw new Error(`${where}: ${final.length} answers instead of one`);
  return reply;
}

/** A response that is not a 5xx and, if it is a refusal, has the common format; returns its code. */
export function sound(reply: SocketReply, where: string): string | undefined {
  expect(reply.status, where).to.be.within(200, 499);
  if (reply.status < 400) return undefined;
  expect(reply.headers.get('content-type'), where).to.match(/^application\/json/);
  const headers = { get: (name: string) => reply.headers.get(name) ?? null };
  let body: unknown;
  try {
    body = JSON.parse(reply.body);
  } catch {
    throw new Error(`${where}: ${reply.status} without our JSON: ${reply.body.slice(0, 200)}`);
  }
  checkError(where, { status: reply.status, headers, text: reply.body, body });
  return (body as { code: string }).code;
}

/** Status and code of the single response, which is valid. */
export async function refusal(
  url: string,
  script: Script,
  where = typeof script === 'string' ? script : JSON.stringify(script),
) {
  const reply = only(await converse(url, script, { answers: 1 }), where.slice(0, 300));
  return { status: reply.status, code: sound(reply, where.slice(0, 300)), reply };
}
