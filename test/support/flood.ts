/** Many small requests at once, on one connection: they quickly fill a log or a trace collector. */
import { connect } from 'node:net';

// The longest request id makes the longest line in the log.
const request = `GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${'x'.repeat(128)}\r\n\r\n`;

/** Resolves when every request has got a 200; rejects if the connection ends before that. */
export function flood(url: string, count: number): Promise<void> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let answered = 0;
    let text = '';
    socket.on('data', (bytes) => {
      const parts = (text + bytes.toString('latin1')).split('HTTP/1.1 200 OK\r\n');
      answered += parts.length - 1;
      // The rest may contain the beginning of the next status line.
      text = (parts.at(-1) ?? '').slice(-20);
      if (answered === count) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (answered === count) resolve();
      else reject(new Error(`${answered} of ${count} requests were answered with 200`));
    });
    socket.write(request.repeat(count));
  });
}

/** The value of the counter in /metrics. */
export function counterIn(text: string, name: string): number {
  const [, value] = new RegExp(`^${name} (\\S+)$`, 'm').exec(text) ?? [];
  if (value === undefined) throw new Error(`no counter ${name}`);
  return Number(value);
}
