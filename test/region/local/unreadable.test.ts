/** "Cannot read" is neither "damaged" nor "absent": each read of the region fails once with each of the system's errors. */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { expect } from 'chai';
import { readProcessStat } from '../../../src/platform/process-stat.js';
import { RegionError } from '../../../src/region/provider.js';
import { idleImages } from '../../support/idle-guest.js';
import { type SystemCode, whileUnreadable } from '../../support/read-faults.js';
import { RegionBench } from '../../support/region-bench.js';
import { failureOf, patient, principal, rejectionOf, skipLoudly, waitFor } from '../../support/region.js';

const suite = 'local region: what cannot be read';

const reasons: Partial<Record<SystemCode, string>> = {
  EACCES: 'permission denied',
  EIO: 'input/output error',
  EMFILE: 'too many open files',
  EISDIR: 'it is a folder',
  ENOTDIR: 'its folder is a file',
  ELOOP: 'its symbolic links form a loop',
};
const codes = Object.keys(reasons) as SystemCode[];
/** Those that anything may fail with. */
const anywhere: SystemCode[] = ['EACCES', 'EIO', 'EMFILE'];

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  let bench: RegionBench;

  beforeEach(async () => {
    // Nothing is read again but by a verb or a question.
    bench = new RegionBench({ housekeeping: 3600, stopDeadline: 1, imageDir: idleImages() });
    await bench.open();
  });
  afterEach(async () => {
    await bench.close();
  });

  const verbs = (id: string): Record<string, () => Promise<unknown>> => ({
    start: () => bench.region.startServer(id, patient()),
    stop: () => bench.region.stopServer(id, patient()),
    'soft reboot': () => bench.region.rebootServer(id, { hard: false }, patient()),
    'hard reboot': () => bench.region.rebootServer(id, { hard: true }, patient()),
    ensure: async () => bench.region.ensureServer({ ...(await bench.request()), id }, patient()),
  });
  /** Asserts that every verb is refused as worth a retry, and says why. */
  const refusesAll = async (id: string, why: RegExp): Promise<void> => {
    for (const [name, verb] of Object.entries(verbs(id))) {
      const error = await rejectionOf(verb());
      expect(error, name).to.be.instanceOf(RegionError);
      expect(error, name).to.have.property('kind', 'transient');
      expect(error, name).to.have.property('message').that.matches(why);
    }
  };
  const has = (name: string) => (path: string) => basename(path) === name;
  /** `/proc/PID`, or what is held open of it. */
  const isOfProcess = (name: string) => (path: string) => path.startsWith('/proc/') && has(name)(path);

  describe('a record', () => {
    for (const code of codes) {
      const why = new RegExp(`state\\.json.*cannot be read: ${reasons[code]}`);
      it(`that fails with ${code} leaves the server listed and its machine alone, until it can be read`, async () => {
        const id = await bench.ensure();
        const before = [bench.machines(id), bench.record(id)];
        await bench.region.close();
        await whileUnreadable(has('state.json'), code, async () => {
          await bench.open();
          expect(await bench.stateOf(id)).to.equal('Error');
          expect(await bench.messageOf(id)).to.match(why);
          expect(
            (await bench.region.describeServers(undefined, patient())).map((one) => one.id),
          ).to.deep.equal([id]);
          await refusesAll(id, why);
        });
        expect([bench.machines(id), bench.record(id)]).to.deep.equal(before);
        expect(await bench.stateOf(id)).to.equal('Running');
        expect(bench.machines(id)).to.deep.equal(before[0]);
        expect(await bench.region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
      });
    }

    it('is read again by a verb, by housekeeping and by a question, and the change is told', async () => {
      const id = await bench.ensure();
      const [pid] = bench.machines(id);
      const told: (string | undefined)[] = [];
      for (const again of ['verb', 'housekeeping', 'question']) {
        await bench.region.close();
        await whileUnreadable(has('state.json'), 'EIO', () => bench.open({ housekeeping: 0.1 }));
        bench.region.watch(({ observation }) => told.push(observation?.powerState));
        if (again === 'verb') await bench.region.startServer(id, patient());
        if (again === 'question') await bench.stateOf(id);
        await waitFor(`it is read again by ${again}`, () => told.includes('Running'), 20_000);
        expect(bench.machines(id)).to.deep.equal([pid]);
        told.length = 0;
      }
    });

    it('of a newer format is not damaged, and serves again when the program does', async () => {
      const id = await bench.ensure();
      const [pid] = bench.machines(id);
      const path = join(bench.serverFolder(id), 'state.json');
      await bench.region.close();
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, JSON.stringify({ ...(JSON.parse(text) as object), format: 2, more: true }));
      await bench.open();
      expect(await bench.messageOf(id)).to.match(/format 2; this version reads 1/);
      await refusesAll(id, /format 2/);
      expect(bench.machines(id)).to.deep.equal([pid]);
      writeFileSync(path, text);
      expect(await bench.stateOf(id)).to.equal('Running');
      expect(bench.machines(id)).to.deep.equal([pid]);
    });

    it('that is damaged says so, is refused for good, and serves again once it is mended', async () => {
      const id = await bench.ensure();
      const path = join(bench.serverFolder(id), 'state.json');
      await bench.region.close();
      const text = readFileSync(path, 'utf8');
      const record = JSON.parse(text) as Record<string, unknown>;
      const other = JSON.stringify({ ...record, id: '018f0000-0000-7000-8000-00000000000f' });
      for (const damage of ['', '{"format":1', '[]', 'null', '{"format":1}', other, '\0'.repeat(100)]) {
        writeFileSync(path, damage);
        await bench.open();
        expect(await bench.messageOf(id), damage).to.match(/damaged; the server can only be deleted/);
        expect(await failureOf(bench.region.startServer(id, patient())), damage).to.equal('terminal');
        expect(bench.machines(id), damage).to.have.length(1);
      }
      writeFileSync(path, text);
      expect(await bench.region.startServer(id, patient())).to.include({ powerState: 'Running' });
    });

    it('that is lost while its machine runs is damage, and no second machine is made', async () => {
      const id = await bench.ensure();
      const machines = bench.machines(id);
      rmSync(join(bench.serverFolder(id), 'state.json'));
      await bench.open();
      expect(await bench.messageOf(id)).to.match(/damaged/);
      const request = { ...(await bench.request()), id };
      expect(await failureOf(bench.region.ensureServer(request, patient()))).to.equal('terminal');
      expect(bench.machines(id)).to.deep.equal(machines);
      await bench.region.deleteServer(id, patient());
      expect(bench.machines(id)).to.deep.equal([]);
    });

    it('that came after the region was opened is not made anew', async () => {
      const id = await bench.ensure();
      const folder = bench.serverFolder(id);
      await bench.region.stopServer(id, patient());
      await bench.region.close();
      renameSync(folder, join(bench.folder, 'away'));
      await bench.open();
      renameSync(join(bench.folder, 'away'), folder);
      const record = bench.record(id);
      const request = { ...(await bench.request()), id };
      expect(await bench.region.ensureServer(request, patient())).to.include({ powerState: 'Stopped' });
      expect(bench.record(id)).to.deep.equal(record);
    });
  });

  describe('real files', () => {
    const cases: [string, RegExp, (folder: string) => void][] = [
      [
        'a folder in the record’s place',
        /it is a folder/,
        (folder) => {
          rmSync(join(folder, 'state.json'));
          mkdirSync(join(folder, 'state.json'));
        },
      ],
      [
        'a record that links to itself',
        /loop/,
        (folder) => {
          rmSync(join(folder, 'state.json'));
          symlinkSync('state.json', join(folder, 'state.json'));
        },
      ],
      [
        'a disk that fails',
        /input\/output error/,
        (folder) => {
          rmSync(join(folder, 'state.json'));
          symlinkSync('/proc/self/mem', join(folder, 'state.json'));
        },
      ],
      [
        'a file in the place of the server’s folder',
        /its folder is a file/,
        (folder) => {
          renameSync(folder, `${folder}.away`);
          writeFileSync(folder, '');
        },
      ],
    ];
    for (const [what, why, arrange] of cases) {
      it(`are told as they are: ${what}`, async () => {
        const id = await bench.ensure();
        const [pid] = bench.machines(id);
        await bench.region.close();
        arrange(bench.serverFolder(id));
        await bench.open();
        expect(await bench.messageOf(id)).to.match(why);
        await refusesAll(id, why);
        expect(() => process.kill(pid ?? 0, 0), 'its machine is left alone').not.to.throw();
      });
    }
  });

  describe('the journal of a machine that ended', () => {
    for (const code of codes) {
      it(`that fails with ${code} does not make a crash of a shutdown`, async () => {
        const id = await bench.ensure();
        await bench.region.close();
        for (const pid of bench.machines(id)) process.kill(pid, 'SIGTERM');
        await waitFor('it has ended', () => bench.machines(id).length === 0);
        const why = new RegExp(`journal.*cannot be read: ${reasons[code]}`);
        await whileUnreadable(has('events.log'), code, async () => {
          await bench.open();
          expect(await bench.messageOf(id)).to.match(why);
          await refusesAll(id, why);
        });
        await bench.waitState(id, 'Stopped');
        expect(await bench.messageOf(id)).to.equal('The machine was stopped on its host.');
      });
    }

    it('is read again when it could not be read at once', async () => {
      const id = await bench.ensure();
      await whileUnreadable(has('events.log'), 'EMFILE', async (failures) => {
        for (const pid of bench.machines(id)) process.kill(pid, 'SIGTERM');
        await waitFor('it could not be read', () => failures() > 0);
      });
      await bench.waitState(id, 'Stopped');
    });
  });

  describe('the rest of the region', () => {
    for (const code of anywhere) {
      const why = new RegExp(reasons[code] ?? code);
      it(`refuses to open, and touches nothing, when it cannot see what there is (${code})`, async () => {
        const id = await bench.ensure();
        const [pid] = bench.machines(id);
        await bench.region.close();
        const folder = (path: string): boolean => path === join(bench.dataDir, 'servers');
        const owner = join(bench.dataDir, 'owner.json');
        for (const concerns of [folder, (path: string) => path === '/proc']) {
          await whileUnreadable(concerns, code, async () => {
            const error = await rejectionOf(bench.make().open());
            expect(error).to.be.instanceOf(RegionError).and.have.property('message').that.matches(why);
          });
          expect(existsSync(owner), 'the folder is given back').to.equal(false);
        }
        // Whose the folder is cannot be read: it may be somebody's.
        writeFileSync(owner, '{}');
        await whileUnreadable(has('owner.json'), code, async () => {
          expect(await failureOf(bench.make().open())).to.equal('transient');
        });
        expect(readFileSync(owner, 'utf8')).to.equal('{}');
        expect(bench.machines(id)).to.deep.equal([pid]);
        await bench.open();
        expect(await bench.stateOf(id)).to.equal('Running');
      });

      it(`does not take an image for gone, or for wrong, that cannot be read (${code})`, async () => {
        const id = await bench.ensure();
        await bench.region.stopServer(id, patient());
        const request = await bench.request();
        for (const file of ['image.json', 'disk.qcow2']) {
          const inImage = (path: string): boolean =>
            path.startsWith(bench.options().imageDir) && has(file)(path);
          await bench.open();
          await whileUnreadable(inImage, code, async () => {
            // The image is known, and never changes.
            expect(await bench.region.listImages(principal, patient())).to.have.length(1);
          });
          await bench.region.close();
          await whileUnreadable(inImage, code, async () => {
            await bench.open();
            for (const made of [
              bench.region.ensureServer(request, patient()),
              bench.region.startServer(id, patient()),
            ]) {
              const error = await rejectionOf(made);
              expect(error).to.have.property('kind', 'transient');
              expect(error).to.have.property('message').that.matches(why);
            }
          });
        }
        const all = (path: string): boolean => path === bench.options().imageDir;
        await whileUnreadable(all, code, async () => {
          expect(await failureOf(bench.region.listImages(principal, patient()))).to.equal('transient');
        });
        expect(await bench.region.startServer(id, patient())).to.include({ powerState: 'Running' });
      });

      it(`says that it is the console that cannot be read (${code})`, async () => {
        const id = await bench.ensure();
        await whileUnreadable(has('console.log'), code, async () => {
          const error = await rejectionOf(bench.region.consoleOutput(id, {}, patient()));
          expect(error).to.have.property('kind', 'transient');
          expect(error).to.have.property('message').that.matches(why);
        });
        expect(await bench.stateOf(id)).to.equal('Running');
      });
    }
  });

  describe('a delete', () => {
    const reads: [string, (id: string) => (path: string) => boolean, SystemCode[]][] = [
      ['the list of processes', () => (path) => path === '/proc', anywhere],
      ['a command line', () => isOfProcess('cmdline'), ['EIO', 'EMFILE']],
      [
        'a process',
        (id) => {
          const folders = bench.machines(id).map((pid) => `/proc/${pid}`);
          return (path) => folders.includes(path);
        },
        anywhere,
      ],
      ['a working folder', () => isOfProcess('cwd'), anywhere],
      [
        'the state of a process',
        () => (path) => path.startsWith('/proc/self/fd/') && has('stat')(path),
        anywhere,
      ],
      ['the folder for its monitor’s socket', (id) => (path) => path === bench.serverFolder(id), anywhere],
      ['the folder of the servers', () => (path) => path === join(bench.dataDir, 'servers'), anywhere],
    ];
    for (const [what, concerns, failures] of reads) {
      it(`that cannot read ${what} fails and says why, and its repeat leaves nothing`, async () => {
        for (const code of failures) {
          const id = await bench.ensure();
          const [pid] = bench.machines(id);
          await bench.region.close();
          // Nobody remembers the process, so that it has to be found.
          writeFileSync(join(bench.serverFolder(id), 'state.json'), '{"format":1');
          await bench.open();
          await whileUnreadable(concerns(id), code, async () => {
            const error = await rejectionOf(bench.region.deleteServer(id, patient()));
            expect(error, code).to.have.property('kind', 'transient');
            expect(error, code).to.have.property('message').that.includes(reasons[code]);
          });
          const left = readdirSync(join(bench.dataDir, 'servers'));
          expect(
            left.some((name) => name.includes(id)),
            `${code}: something is left to delete`,
          ).to.equal(true);
          await bench.region.deleteServer(id, patient());
          expect(readdirSync(join(bench.dataDir, 'servers')), code).to.deep.equal([]);
          await waitFor('the machine is gone', () => {
            try {
              process.kill(pid ?? 0, 0);
              return false;
            } catch {
              return true;
            }
          });
        }
      });
    }

    it('of a server whose record cannot be read ends its machine', async () => {
      const id = await bench.ensure();
      const [pid] = bench.machines(id);
      await bench.region.close();
      await whileUnreadable(has('state.json'), 'EACCES', async () => {
        await bench.open();
        expect(bench.machines(id)).to.deep.equal([pid]);
        await bench.region.deleteServer(id, patient());
      });
      expect(readProcessStat(pid ?? 0)).to.equal(undefined);
      expect(readdirSync(join(bench.dataDir, 'servers'))).to.deep.equal([]);
    });
  });
});
