import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { TaskQueue } from '../../src/data/queue.js';
import { ScheduleData, schedules } from '../../src/data/schedule.js';
import { insert, replace } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { silentLog } from '../../src/model/log.js';
import { Schedule } from '../../src/task/schedule.js';
import { eventually } from '../support/eventually.js';
import { RecordingLog } from '../support/log.js';
import { faulty } from '../support/outage.js';
import { distantOwner, taskRecord } from '../support/rows.js';
import { startServer } from '../support/server.js';
import { openTestStore } from '../support/store.js';

const day = 24 * 3_600_000;

describe('the site’s regular jobs', () => {
  it('are done once in the whole site, however many processes there are, and never by two at a time', async () => {
    const store = await openTestStore();
    const runs: { began: number; ended: number }[] = [];
    let busy = 0;
    let most = 0;
    const schedules = Array.from({ length: 4 }, (_, index) => {
      const data = new ScheduleData(store, distantOwner() + String(index), 1000);
      const run = async () => {
        const began = performance.now();
        busy += 1;
        most = Math.max(most, busy);
        await store.get(tasks, uuidv7());
        busy -= 1;
        runs.push({ began, ended: performance.now() });
      };
      return new Schedule(data, [{ name: 'job', intervalMs: 30, run }], 1000, silentLog);
    });
    for (const schedule of schedules) schedule.start();
    await eventually(() => runs.length >= 8);
    for (const schedule of schedules) await schedule.stop();
    await store.close();
    expect(most).to.equal(1);
    for (const [index, { began }] of runs.entries()) {
      // The pause is counted by whole milliseconds of the wall clock.
      if (index > 0) expect(began - (runs[index - 1]?.ended ?? 0)).to.be.at.least(28);
    }
  });

  it('go on when the end of a turn failed while the store was away: no lease has to run out', async () => {
    const store = await openTestStore();
    const way = faulty(store);
    const log = new RecordingLog();
    let runs = 0;
    const run = () => {
      runs += 1;
      if (runs === 1) way.fault = 'away';
      return Promise.resolve();
    };
    // Neither the pause nor the lease would let it come again in the time of this test.
    const data = new ScheduleData(way.store, distantOwner(), 3_600_000);
    const schedule = new Schedule(data, [{ name: 'job', intervalMs: 3_600_000, run }], 3_600_000, log);
    schedule.start();
    await eventually(() => log.entries.filter(({ level }) => level === 'warn').length >= 2);
    expect((await store.get(schedules, 'job'))?.value).to.have.property('owner');
    way.fault = 'none';
    await eventually(async () => (await store.get(schedules, 'job'))?.value.owner === undefined);
    await schedule.stop();
    await store.close();
  });

  it('that fail are tried again, and stop in the middle when the process does', async () => {
    const store = await openTestStore();
    const log = new RecordingLog();
    let runs = 0;
    let stopped = false;
    const run = (signal: AbortSignal): Promise<void> => {
      runs += 1;
      if (runs < 3) return Promise.reject(new Error('not today'));
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          stopped = true;
          reject(new Error('stopped'));
        });
      });
    };
    const schedule = new Schedule(
      new ScheduleData(store, 'me', 1000),
      [{ name: 'job', intervalMs: 5, run }],
      1000,
      log,
    );
    schedule.start();
    await eventually(() => runs === 3);
    await schedule.stop();
    await store.close();
    expect(stopped).to.be.true;
    expect(log.entries.filter(({ level }) => level === 'warn')).to.have.length(2);
  });
});

describe('a regular job whose turn was lost', () => {
  it('ends, and is left to the process that has the turn now', async () => {
    const store = await openTestStore();
    let runs = 0;
    let ended = 0;
    let giveUp: () => void = () => undefined;
    const run = (signal: AbortSignal): Promise<void> => {
      runs += 1;
      return new Promise((resolve) => {
        giveUp = resolve;
        signal.addEventListener('abort', () => {
          ended += 1;
          resolve();
        });
      });
    };
    const lease = 60;
    const data = new ScheduleData(store, distantOwner(), lease);
    const schedule = new Schedule(data, [{ name: 'job', intervalMs: 3_600_000, run }], lease, silentLog);
    schedule.start();
    try {
      await eventually(() => runs === 1);
      const taken = { owner: `${distantOwner()} of another`, token: 99, beat: 0, nextStart: 0 };
      await eventually(async () => {
        const turn = await store.get(schedules, 'job');
        if (turn === undefined) return false;
        // Its own sign of life may come between the two.
        return store.write([replace(schedules, turn, taken)]).then(
          () => true,
          () => false,
        );
      });
      await eventually(() => ended === 1);
      expect((await store.get(schedules, 'job'))?.value).to.deep.equal(taken);
      expect(runs).to.equal(1);
    } finally {
      giveUp();
      await schedule.stop();
      await store.close();
    }
  });
});

describe('ended tasks', () => {
  it('are removed when their time is over, page by page, and nothing else is', async () => {
    const store = await openTestStore();
    const now = Date.now();
    const ended = (age: number) => ({
      ...taskRecord(uuidv7(), { queue: 'done', status: 'succeeded' }),
      endTime: new Date(now - age).toISOString(),
    });
    const seed = (count: number, record: () => ReturnType<typeof taskRecord>) =>
      store.write(Array.from({ length: count }, () => insert(tasks, uuidv7(), record())));
    await seed(250, () => ended(31 * day));
    await seed(3, () => ended(29 * day));
    await seed(2, () => taskRecord(uuidv7(), { creationTime: new Date(now - 90 * day).toISOString() }));
    const queue = new TaskQueue(store, { owner: 'me', lease: 1000 });
    const signal = new AbortController().signal;
    expect(await queue.purge(now - 30 * day, signal)).to.equal(250);
    expect(await queue.purge(now - 30 * day, signal)).to.equal(0);
    expect(await store.count(tasks, {})).to.equal(5);
    await store.close();
  });

  it('are removed by a server by itself', async () => {
    const server = await startServer({ flags: { tasks: { sweep: 0.02, keep: 1e-6 } } });
    try {
      const { metadata, status } = await server.running('kept');
      await eventually(
        async () => (await server.admin.get(`/api/v2/tasks/${status.taskId ?? ''}`)).status === 404,
      );
      expect((await server.settled(metadata.id)).status.powerState).to.equal('Running');
    } finally {
      await server.stop();
    }
  });
});
