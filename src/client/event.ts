/** Following events: a stream that resumes where its connection broke. */
import type { Event } from '../model/event.js';
import { CallError } from './call-error.js';
import type { Client } from './client.js';
import { pause as sleep } from './pause.js';
import { ConnectionError } from './retry.js';

/** Milliseconds without a byte after which a connection is given up; the server sends something every 15 s. */
const silence = 45_000;
const longestPause = 10_000;

export interface EventOptions {
  projectID?: readonly string[];
  subject?: readonly string[];
  type?: readonly string[];
  resourceID?: readonly string[];
  /** Id of the last event that is known. Default: only new events. */
  after?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Events as they happen, without gaps or duplicates, until the signal is aborted. */
export async function* followEvents(client: Client, options: EventOptions = {}): AsyncGenerator<Event> {
  const { after, signal, ...filters } = options;
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(filters)) for (const value of values) query.append(name, value);
  const isOver = () => signal?.aborted === true;
  let last = after;
  for (let failures = 0; !isOver();) {
    try {
      for await (const { id, data } of connection(
        client,
        `/api/v2/events?${query.toString()}`,
        last,
        signal,
      )) {
        failures = 0;
        last = id ?? last;
        if (data !== '') yield JSON.parse(data) as Event;
      }
    } catch (error) {
      if (isOver()) return;
      if (!mayResume(error)) throw error;
      failures += 1;
    }
    const pause = Math.min(longestPause, 100 * 2 ** failures) * (0.5 + Math.random() / 2);
    await sleep(pause, signal).catch(() => undefined);
  }
}

function mayResume(error: unknown): boolean {
  if (error instanceof CallError) return error.retryable;
  return error instanceof ConnectionError || (error instanceof Error && error.name === 'AbortError');
}

function isBroken(error: unknown): boolean {
  return (
    error instanceof TypeError || (error instanceof Error && 'code' in error && !(error instanceof CallError))
  );
}

interface Message {
  id: string | undefined;
  data: string;
}

async function* connection(
  client: Client,
  url: string,
  last: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Message> {
  const idle = new AbortController();
  const giveUp = () => idle.abort();
  let timer = setTimeout(giveUp, silence);
  const onBytes = () => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, silence);
  };
  const headers = {
    Accept: 'text/event-stream',
    ...(last === undefined ? {} : { 'Last-Event-ID': last }),
  };
  const either = signal === undefined ? idle.signal : AbortSignal.any([signal, idle.signal]);
  try {
    const { body } = await client.stream(url, headers, either);
    if (body === null) return;
    yield* messagesOf(body, onBytes);
  } catch (error) {
    // The body of a response that breaks off.
    throw isBroken(error) ? new ConnectionError(url, error) : error;
  } finally {
    clearTimeout(timer);
    idle.abort();
  }
}

/** The messages of a stream (WHATWG HTML, server-sent events). An id without data is a new position. */
export async function* messagesOf(
  body: AsyncIterable<Uint8Array>,
  onBytes: () => void = () => undefined,
): AsyncGenerator<Message> {
  const decoder = new TextDecoder();
  let rest = '';
  let id: string | undefined;
  let data: string[] = [];
  for await (const chunk of body) {
    onBytes();
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
      if (name === 'id') id = value;
      else if (name === 'data') data.push(value);
      else if (line === '') {
        if (id !== undefined || data.length > 0) yield { id, data: data.join('\n') };
        data = [];
      }
    }
  }
}
