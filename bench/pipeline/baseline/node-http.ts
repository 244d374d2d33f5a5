/** (a) node:http written by hand: a switch over method and path, and nothing else. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { announce, type CreateBody, faultOf, optionsOfProcess, UsualData } from './data.js';

const data = new UsualData(optionsOfProcess().database);
const collection = '/api/v2/instances';

function send(response: ServerResponse, status: number, result: unknown): void {
  const body = Buffer.from(JSON.stringify(result));
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': body.length,
  });
  response.end(body);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function create(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = parsed(Buffer.concat(chunks).toString());
    const fault = faultOf(body);
    if (fault === undefined) send(response, 201, data.create(body as CreateBody));
    else send(response, 400, { message: fault });
  });
}

const server = createServer((request, response) => {
  const { method, url = '/' } = request;
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  if (method === 'POST' && path === collection) {
    create(request, response);
  } else if (method === 'GET' && path === collection) {
    const query = new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1));
    send(response, 200, data.page(query.get('after') ?? '', Number(query.get('limit') ?? 100)));
  } else if (method === 'GET' && path.startsWith(`${collection}/`)) {
    const found = data.one(path.slice(collection.length + 1));
    if (found === undefined) send(response, 404, { message: 'not found' });
    else send(response, 200, found);
  } else {
    send(response, 404, { message: 'not found' });
  }
});
server.listen(0, '127.0.0.1', () => announce((server.address() as AddressInfo).port));
