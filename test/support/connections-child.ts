/**
 * Opens this many connections to a URL at once, and reports how many the system accepted: all, or those within half a
 * second.
 */
import { connect } from 'node:net';

const [, , url = '', count = '1'] = process.argv;
const { hostname, port } = new URL(url);
let connected = 0;

function tell(): void {
  process.stdout.write(String(connected), () => process.exit());
}

setTimeout(tell, 500);
for (let index = 0; index < Number(count); index += 1)
  connect(Number(port), hostname)
    .on('connect', () => {
      connected += 1;
      if (connected === Number(count)) tell();
    })
    .on('error', () => undefined);
