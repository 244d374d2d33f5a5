/** A collector of traces that is ill costs spans, which are counted and told, and never a request. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { eventually } from '../../support/eventually.js';
import { counterIn, flood } from '../../support/flood.js';
import { startServer } from '../../support/server.js';

describe('spans', () => {
  /** What a collector does with a request for it; undefined does nothing at all, so that its client waits. */
  const ill: [string, ((response: ServerResponse) => void) | undefined][] = [
    ['never answers', undefined],
    ['cuts the connection', (response) => void response.destroy()],
    ['answers 500', (response) => void response.writeHead(500).end('no')],
    ['answers 400 with nonsense', (response) => void response.writeHead(400).end('{')],
    ['redirects', (response) => void response.writeHead(302, { Location: 'http://127.0.0.1:9/' }).end()],
    ['never ends its answer', (response) => void response.writeHead(200).write('{')],
  ];
  for (const [what, answer] of ill) {
    it(`are lost, counted and told when the collector ${what}; requests are answered, and the end is bounded`, async () => {
      let healthy = false;
      const moody = createServer((request, response) => {
        request.resume().on('end', () => {
          if (healthy) response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
          else answer?.(response);
        });
      });
      await new Promise<void>((resolve) => moody.listen(0, '127.0.0.1', resolve));
      const { port } = moody.address() as AddressInfo;
      const server = await startServer({
        flags: { tracing: { endpoint: `http://127.0.0.1:${port}/v1/traces` } },
      });
      const lost = async () =>
        counterIn((await server.admin.get('/metrics')).text, 'copse_trace_spans_lost_total');
      const said = (start: string) => server.log.entries.filter(({ message }) => message.startsWith(start));
      try {
        // More than wait to be sent at most.
        await flood(server.url, 3000);
        await eventually(async () => (await lost()) >= 512, { within: 20_000 });
        expect(said('spans cannot be sent')).to.have.length(1);
        healthy = true;
        await eventually(
          async () => {
            await flood(server.url, 600);
            return said('spans can be sent again').length > 0;
          },
          { within: 20_000 },
        );
        expect(said('spans can be sent again')[0]?.details['lost']).to.be.at.least(512);
        healthy = false;
        await flood(server.url, 600);
      } finally {
        const began = performance.now();
        await server.stop();
        expect(performance.now() - began).to.be.below(9000);
        moody.closeAllConnections();
        await new Promise((resolve) => moody.close(resolve));
      }
    }).timeout(60_000);
  }
});
