/** A client of server-sent events that reads only on request, so that it can be slow. */
import type { Event } from '../../src/model/event.js';
import { checkedFetch } from './conform.js';

export interface StreamOptions {
  url: string;
  key: string;
  query?: string;
  lastEventId?: string;
}

export class EventStream {
  readonly response: Response;
  /** What a browser would send as Last-Event-ID now. */
  lastEventId = '';
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #gone: AbortController;
  #text = '';

  private constructor(response: Response, gone: AbortController) {
    if (response.body === null) throw new Error('no body');
    this.response = response;
    this.#gone = gone;
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  }

  static async open({ url, key, query = '', lastEventId }: StreamOptions): Promise<EventStream> {
    const gone = new AbortController();
    const response = await checkedFetch(`${url}/api/v2/events${query}`, {
      headers: {
        Accept: 'text/event-stream',
        Authorization: `Bearer ${key}`,
        ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }),
      },
      signal: gone.signal,
    });
    return new EventStream(response, gone);
  }

  /** The next event; undefined at the end of the stream. */
  async next(): Promise<Event | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end === -1) {
        const { done, value } = await this.#reader.read();
        if (done) return undefined;
        this.#text += value;
        continue;
      }
      const lines = this.#text.slice(0, end).split('\n');
      this.#text = this.#text.slice(end + 2);
      const field = (name: string) =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      this.lastEventId = field('id') ?? this.lastEventId;
      const data = field('data');
      if (data === undefined) continue;
      const event = JSON.parse(data) as Event;
      if (event.id !== this.lastEventId || event.type !== field('event'))
        throw new Error(`id or type differ from the data: ${lines.join('|')}`);
      return event;
    }
  }

  /** Reads until the condition holds; returns everything received. */
  async until(holds: (event: Event) => boolean): Promise<Event[]> {
    const events: Event[] = [];
    for (;;) {
      const event = await this.next();
      if (event === undefined) throw new Error(`the stream ended after ${events.length} events`);
      events.push(event);
      if (holds(event)) return events;
    }
  }

  close(): void {
    this.#gone.abort();
  }
}
