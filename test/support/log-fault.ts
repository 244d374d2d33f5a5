/**
 * Loaded with --import into a server process: while the file COPSE_TEST_LOG_FAULT exists, writes to standard output
 * fail as it specifies: `CODE`, or `CODE BYTES` after that many bytes of each.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const file = process.env['COPSE_TEST_LOG_FAULT'] ?? '';
const write = fs.writeSync.bind(fs) as (fd: number, bytes: Buffer, from: number, size?: number) => number;

let partial = false;

fs.writeSync = ((descriptor: number, bytes: Buffer, from: number) => {
  if (descriptor !== 1 || !fs.existsSync(file)) return write(descriptor, bytes, from);
  const [code = '', some = '0'] = fs.readFileSync(file, 'utf8').split(' ');
  partial = !partial && Number(some) > 0;
  if (partial) return write(descriptor, bytes, from, Math.min(Number(some), bytes.length - from));
  throw Object.assign(new Error(`${code}: injected`), { code, syscall: 'write' });
}) as typeof fs.writeSync;
syncBuiltinESMExports();
