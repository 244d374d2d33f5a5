import { connect } from 'node:net';

/** An open but silent connection. `close` ends it. */
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
