/** QEMU's protocol: on the monitor's socket, in the journal, and what an ending means. */
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { endingOf, readEnding, readTail, type Ending } from '../../../src/region/local/journal.js';
import { parseQmp } from '../../../src/region/local/qmp-message.js';
import { Qmp, QmpError } from '../../../src/region/local/qmp.js';
import { judge } from '../../../src/region/local/verdict.js';
import { rejectionOf, scratchFolder } from '../../support/region.js';

const greeting = '{"QMP": {"version": {}, "capabilities": []}}\r\n';
const shutdown = (reason: string): string =>
  `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "${reason}"}}\n`;

describe('QMP messages', () => {
  it('are told apart', () => {
    expect(parseQmp(greeting)).to.deep.equal({ kind: 'greeting' });
    expect(parseQmp('{"return": {"a": 1}, "id": 7}')).to.deep.equal({
      kind: 'return',
      id: 7,
      value: { a: 1 },
    });
    expect(parseQmp('{"event": "STOP"}')).to.deep.equal({ kind: 'event', name: 'STOP', data: {} });
    expect(parseQmp('{"error": {"class": "GenericError", "desc": "no"}, "id": 1}')).to.deep.equal({
      kind: 'error',
      id: 1,
      className: 'GenericError',
      description: 'no',
    });
  });

  it('never make the parser throw', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (line) => void parseQmp(line)));
  });
});

describe('event journal', () => {
  const folder = scratchFolder('journal');
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it('tells how a machine ended', () => {
    const cases: [string, Ending][] = [
      ['', 'crash'],
      [greeting + '{"event": "RESUME"}\n', 'crash'],
      [shutdown('guest-shutdown'), 'guest-shutdown'],
      [greeting + shutdown('guest-reset') + '{"event": "STOP"}\n', 'guest-reset'],
      [shutdown('host-qmp-quit'), 'host-quit'],
      [shutdown('host-signal'), 'host-signal'],
      [shutdown('host-error'), 'other'],
      [shutdown('guest-shutdown') + shutdown('host-qmp-quit'), 'host-quit'],
      [shutdown('guest-shutdown') + '{"event": "SHUTD', 'guest-shutdown'],
    ];
    for (const [text, ending] of cases) expect(endingOf(text), text).to.equal(ending);
  });

  it('is read from its end, and may be missing', async () => {
    expect(await readEnding(folder)).to.equal('crash');
    writeFileSync(
      join(folder, 'events.log'),
      '{"event": "RTC_CHANGE"}\n'.repeat(10_000) + shutdown('guest-reset'),
    );
    expect(await readEnding(folder)).to.equal('guest-reset');
    expect(await readTail(join(folder, 'events.log'), 4)).to.equal('"}}\n');
  });
});

describe('the verdict on an ending', () => {
  const running = { wanted: 'running', rebooting: false } as const;

  it('starts again what rebooted, by itself or by order', () => {
    expect(judge(running, 'guest-reset', true)).to.deep.equal({ restart: true });
    for (const ending of ['guest-shutdown', 'host-quit', 'crash'] as const) {
      expect(judge({ wanted: 'running', rebooting: true }, ending, true)).to.deep.equal({ restart: true });
    }
  });

  it('takes for stopped what was to be stopped, however it ended', () => {
    for (const ending of ['guest-shutdown', 'guest-reset', 'host-quit', 'crash'] as const) {
      const verdict = judge({ wanted: 'stopped', rebooting: false }, ending, true);
      expect(verdict).to.deep.equal({ restart: false, powerState: 'Stopped' });
    }
  });

  it('tells a shutdown from a crash, and a crash from a restart of the host', () => {
    expect(judge(running, 'guest-shutdown', true)).to.deep.equal({ restart: false, powerState: 'Stopped' });
    expect(judge(running, 'crash', true)).to.include({ powerState: 'Error' });
    expect(judge(running, 'crash', false)).to.include({
      powerState: 'Stopped',
      message: 'The host was restarted.',
    });
    expect(judge(running, 'host-signal', true)).to.include({ powerState: 'Stopped' });
    expect(judge(running, 'other', true)).to.include({ powerState: 'Error' });
  });

  it('claims no crash where the journal could not be read', () => {
    for (const sameHostBoot of [true, false]) {
      expect(judge(running, 'unknown', sameHostBoot)).to.deep.equal({
        restart: false,
        powerState: 'Error',
        message: 'The machine ended; its host could not read the reason.',
      });
    }
    expect(judge({ wanted: 'running', rebooting: true }, 'unknown', true)).to.deep.equal({ restart: true });
  });
});

describe('QMP client', () => {
  const folder = scratchFolder('qmp');
  let server: Server;
  const events: string[] = [];

  const listen = async (name: string, serve: (socket: Socket) => void): Promise<void> => {
    server = createServer(serve).listen(join(folder, name));
    await once(server, 'listening');
  };
  const connect = (name: string, timeout = 2000): Promise<Qmp> =>
    Qmp.connect(folder, name, timeout, (event) => events.push(event));
  /** Answers each command as `answer` says. */
  const monitor =
    (answer: (name: string, id: number) => string) =>
    (socket: Socket): void => {
      socket.on('error', () => undefined);
      socket.write(greeting);
      socket.setEncoding('utf8').on('data', (text: string) => {
        for (const line of text.trim().split('\n')) {
          const { execute, id } = JSON.parse(line) as { execute: string; id: number };
          socket.write(
            execute === 'qmp_capabilities' ? `{"return": {}, "id": ${id}}\n` : answer(execute, id),
          );
        }
      });
    };

  afterEach(() => {
    server.close();
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it('matches answers by id, whatever order and pieces they come in', async () => {
    const held: string[] = [];
    await listen('order.sock', (socket) => {
      monitor((name, id) => {
        held.push(`{"return": "${name}", "id": ${id}}\n`);
        if (held.length < 2) return '{"event": "STOP"}\n';
        const all = held.reverse().join('');
        setImmediate(() => socket.write(all.slice(10)));
        return all.slice(0, 10);
      })(socket);
    });
    const qmp = await connect('order.sock');
    expect(await Promise.all([qmp.command('one'), qmp.command('two')])).to.deep.equal(['one', 'two']);
    expect(events).to.deep.equal(['STOP']);
    qmp.close();
    await qmp.closed;
  });

  it('rejects with what QEMU refuses', async () => {
    await listen(
      'refuse.sock',
      monitor((_name, id) => `{"error": {"class": "X", "desc": "no"}, "id": ${id}}\n`),
    );
    const qmp = await connect('refuse.sock');
    expect(await rejectionOf(qmp.command('anything')))
      .to.be.instanceOf(QmpError)
      .with.property('message', 'X: no');
    qmp.close();
  });

  it('gives up on a monitor that does not greet, because somebody else has it', async () => {
    await listen('busy.sock', (socket) => socket.on('error', () => undefined));
    expect(await rejectionOf(connect('busy.sock', 50)))
      .to.be.instanceOf(QmpError)
      .with.property('timedOut', true);
  });

  it('gives up on an answer that does not come, and on all when the connection ends', async () => {
    await listen(
      'mute.sock',
      monitor((name) => (name === 'end' ? 'not json\n' : '')),
    );
    const qmp = await connect('mute.sock');
    expect(await rejectionOf(qmp.command('slow', undefined, 20))).to.have.property('timedOut', true);
    const waiting = rejectionOf(qmp.command('slow'));
    qmp.close();
    expect(await waiting).to.be.instanceOf(QmpError);
    expect(await rejectionOf(qmp.command('late'))).to.be.instanceOf(QmpError);
  });

  it('rejects when there is no socket', async () => {
    await listen('unused.sock', () => undefined);
    expect(await rejectionOf(connect('absent.sock'))).to.be.instanceOf(Error);
  });
});
