/** Serves a koa app on a free port of the loopback interface. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type Koa from 'koa';
import { announce } from './data.js';

export function serve(app: Koa): void {
  const handle = app.callback();
  const server = createServer((request, response) => void handle(request, response));
  server.listen(0, '127.0.0.1', () => announce((server.address() as AddressInfo).port));
}
