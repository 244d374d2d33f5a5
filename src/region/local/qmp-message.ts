/** One line of QEMU's machine protocol (QMP), as on a monitor socket and in the event journal. */

export type QmpMessage =
  | { kind: 'greeting' }
  | { kind: 'event'; name: string; data: Record<string, unknown> }
  | { kind: 'return'; id: unknown; value: unknown }
  | { kind: 'error'; id: unknown; className: string; description: string }
  | { kind: 'unknown' };

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Never throws: what is not QMP (a line cut short by a crash) is `unknown`. */
export function parseQmp(line: string): QmpMessage {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch {
    return { kind: 'unknown' };
  }
  if (!isObject(message)) return { kind: 'unknown' };
  if ('QMP' in message) return { kind: 'greeting' };
  if (typeof message['event'] === 'string') {
    const data = message['data'];
    return { kind: 'event', name: message['event'], data: isObject(data) ? data : {} };
  }
  if ('return' in message) return { kind: 'return', id: message['id'], value: message['return'] };
  const error = message['error'];
  if (!isObject(error)) return { kind: 'unknown' };
  return {
    kind: 'error',
    id: message['id'],
    className: String(error['class']),
    description: String(error['desc']),
  };
}
