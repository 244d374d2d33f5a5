import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { Command } from 'commander';
import { parse } from 'yaml';
import { addClientCommands } from '../../src/cli/index.js';
import type { Instance } from '../../src/model/instance.js';
import { Cli } from '../support/cli.js';
import { cleanUp, type ServerProcess, startServer, temporaryFolder } from '../support/process.js';

/** The address of a server that has just ended. */
async function closedPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return `http://127.0.0.1:${port}`;
}

describe('the command line', function () {
  this.timeout(60_000);
  let folder: string;
  let server: ServerProcess;
  let cli: Cli;

  before(async () => {
    folder = temporaryFolder();
    mkdirSync(join(folder, 'home'));
    server = await startServer({ dataDir: join(folder, 'data'), args: ['--region', 'simulated'] });
    cli = new Cli(join(folder, 'home'), server.url);
  });
  after(async () => {
    await server.kill('SIGTERM');
    await cleanUp(folder);
  });

  const instances = async () => (await server.client.get<Instance[]>('/api/v2/instances')).body;
  const named = async (name: string) => (await instances()).find(({ metadata }) => metadata.name === name);

  describe('of instances', () => {
    it('creates one by name alone, waits for it, and says what it chose', async () => {
      const { status, stdout, stderr } = await cli.run(['instance', 'create', 'web', '--tag', 'role=web']);
      expect(status, stderr).to.equal(0);
      const made = await named('web');
      expect(stdout).to.equal(`Created web (${made?.metadata.id ?? ''}).\n`);
      expect(stderr)
        .to.match(/^Using flavor tiny and image sim-linux\.\n/)
        .and.to.contain('instance.create: succeeded');
      expect(made?.status.powerState).to.equal('Running');
      expect(made?.metadata.tags).to.deep.equal([{ name: 'role', value: 'web' }]);
    });

    it('stops, starts and reboots by name or id', async () => {
      const id = (await named('web'))?.metadata.id ?? '';
      expect(await cli.out('instance', 'stop', 'web')).to.equal('Stopped web.\n');
      expect((await named('web'))?.status.powerState).to.equal('Stopped');
      expect(await cli.out('instance', 'start', id, '-o', 'name')).to.equal('web\n');
      expect((await named('web'))?.status.powerState).to.equal('Running');
      expect(await cli.out('instance', 'reboot', 'web', '--hard')).to.equal('Rebooted web.\n');
    });

    it('prints a plan and does nothing with --dry-run, and does exactly that with --plan', async () => {
      const plan = await cli.out('instance', 'stop', 'web', '--dry-run');
      expect(plan).to.match(/^Plan: stop\n {2}\/status\/powerState: Running -> /);
      expect((await named('web'))?.status.powerState).to.equal('Running');
      const [, id = ''] = /--plan (\S+)/.exec(plan) ?? [];
      expect(await cli.out('instance', 'stop', 'web', '--plan', id)).to.equal('Stopped web.\n');
    });

    it('gives an instance another flavor', async () => {
      expect(await cli.out('instance', 'resize', 'web', '--flavor', 'small')).to.equal('Resized web.\n');
      const flavors = JSON.parse(await cli.out('flavor', 'list', '-o', 'json')) as Instance[];
      const small = flavors.find(({ metadata }) => metadata.name === 'small')?.metadata.id;
      expect((await named('web'))?.spec.flavorId).to.equal(small);
    });

    it('waits for a state, and gives up with 124', async () => {
      expect(await cli.out('instance', 'wait', 'web', '--for', 'stopped')).to.equal('web is stopped.\n');
      const late = await cli.run(['instance', 'wait', 'web', '--for', 'running', '--timeout', '0']);
      expect(late).to.deep.include({ status: 124, stdout: '' });
      expect(late.stderr).to.contain('web is not running after 0 s; it is Stopped.');
    });

    it('makes an image of a disk, and deletes it; tells what happened', async () => {
      expect(await cli.out('instance', 'snapshot', 'web', '--name', 'kept')).to.match(
        /^Created the image kept /,
      );
      expect(await cli.out('image', 'show', 'kept', '-o', 'template={{status.state}}')).to.equal('ready\n');
      expect(await cli.out('image', 'list', '--filter', 'source=snapshot', '-o', 'name')).to.equal('kept\n');
      expect(await cli.out('image', 'delete', 'kept', '--yes')).to.equal('Deleted kept.\n');
      const timeline = await cli.out('instance', 'timeline', 'web', '--all', '--columns', 'kind,summary');
      expect(timeline)
        .to.match(/^KIND +SUMMARY\n/)
        .and.to.contain('snapshot');
    });

    it('prints the console output', async () => {
      await cli.out('instance', 'start', 'web');
      expect(await cli.out('instance', 'logs', 'web')).to.contain('login:');
    });

    it('goes on with the console output as it is written', async () => {
      let seen = '';
      const following = cli.run(['instance', 'logs', 'web', '--follow', '--tail', '1'], {
        onStderr: (text) => {
          if (text.includes('Following')) void cli.out('instance', 'reboot', 'web', '--hard');
        },
        onStdout: (text, child) => /Linux version[^]*login:/.test((seen += text)) && child.kill('SIGTERM'),
      });
      const { stdout } = await following;
      expect(stdout.match(/Linux version/g)).to.have.length(1);
    });

    it('deletes only what is confirmed', async () => {
      const asked = await cli.run(['instance', 'delete', 'web']);
      expect(asked.status).to.equal(2);
      expect(asked.stderr).to.contain('--yes');
      expect(await named('web')).not.to.equal(undefined);
      expect(await cli.out('instance', 'delete', 'web', '--yes')).to.equal('Deleted web.\n');
      expect(await named('web')).to.equal(undefined);
    });

    it('does a create under one key once, however often it is sent', async () => {
      const args = ['instance', 'create', 'once', '--idempotency-key', 'key-of-this-test', '-o', 'json'];
      const [first, second] = [await cli.out(...args), await cli.out(...args)];
      const ids = [first, second].map((text) => (JSON.parse(text) as Instance).metadata.id);
      expect(ids[0]).to.equal(ids[1]);
      expect((await instances()).filter(({ metadata }) => metadata.name === 'once')).to.have.length(1);
      await cli.out('instance', 'delete', 'once', '--yes');
    });
  });

  describe('of lists', () => {
    before(async () => {
      await Promise.all(['ash', 'beech', 'cedar'].map((name) => cli.out('instance', 'create', name)));
    });
    after(() => cli.out('instance', 'delete', 'ash', 'beech', 'cedar', '--yes'));

    it('prints tables for people, without colours in a pipe', async () => {
      const lines = (await cli.out('instance', 'list', '--sort', 'name')).split('\n');
      expect(lines[0]).to.match(/^NAME +POWER +STATUS +IP +CREATED +ID$/);
      expect(lines[1]).to.match(/^ash +Running +provisioned +10\.\S+ +(\d+s ago|now) +[0-9a-f-]{36}$/);
      expect(lines).to.have.length(5);
      expect(lines.join('')).not.to.contain('\u001b');
    });

    it('prints JSON, YAML, CSV, names and templates', async () => {
      const list = (form: string) => cli.out('instance', 'list', '--sort', '-name', '-o', form);
      const names = ['cedar', 'beech', 'ash'];
      const namesOf = (items: Instance[]) => items.map(({ metadata }) => metadata.name);
      expect(namesOf(JSON.parse(await list('json')) as Instance[])).to.deep.equal(names);
      expect(namesOf(parse(await list('yaml')) as Instance[])).to.deep.equal(names);
      expect(await list('name')).to.equal('cedar\nbeech\nash\n');
      expect(await list('template=<{{metadata.name}}>{{ .status.none }}')).to.equal(
        '<cedar>\n<beech>\n<ash>\n',
      );
      const csv = await cli.out(
        'instance',
        'list',
        '--sort',
        'name',
        '-o',
        'csv',
        '--columns',
        'name,spec.flavorId',
      );
      expect(csv).to.match(/^name,spec\.flavorId\nash,[0-9a-f-]{36}\nbeech,/);
    });

    it('prints an empty list as an empty document', async () => {
      const list = (form: string) => cli.out('instance', 'list', '--filter', 'name=none', '-o', form);
      expect(JSON.parse(await list('json'))).to.deep.equal([]);
      expect(parse(await list('yaml'))).to.deep.equal([]);
      expect(await list('csv')).to.equal('name,power,status,ip,created,id\n');
      expect(await list('name')).to.equal('');
    });

    it('filters by the server and by any column', async () => {
      const list = (filter: string) =>
        cli.out('instance', 'list', '-o', 'name', '--sort', 'name', '--filter', filter);
      expect(await list('name=b*')).to.equal('beech\n');
      expect(await list('project=default')).to.equal('ash\nbeech\ncedar\n');
      const id = (await named('cedar'))?.metadata.id ?? '';
      expect(await list(`metadata.id=${id}`)).to.equal('cedar\n');
    });

    it('says on standard error that more follow, and reads all pages with --all', async () => {
      const page = await cli.run(['instance', 'list', '-o', 'name', '--sort', 'name', '--limit', '2']);
      expect(page.stdout).to.equal('ash\nbeech\n');
      expect(page.stderr).to.contain('--all');
      const all = await cli.run(['api', 'GET', '/api/v2/instances?limit=1&sort=name', '--all']);
      expect((JSON.parse(all.stdout) as Instance[]).map(({ metadata }) => metadata.name)).to.deep.equal([
        'ash',
        'beech',
        'cedar',
      ]);
    });

    it('lists flavors by size, regions, images, networks, tasks, projects, users and the audit trail', async () => {
      expect(await cli.out('flavor', 'list', '-o', 'name', '--sort', 'cpus', '--limit', '1')).to.equal(
        'tiny\n',
      );
      expect(await cli.out('region', 'list', '-o', 'name')).to.equal('simulated\n');
      expect(await cli.out('image', 'list', '-o', 'name')).to.contain('sim-linux\n');
      expect(await cli.out('network', 'list', '-o', 'name')).to.equal('default\n');
      expect(await cli.out('task', 'list', '--filter', 'instance=ash', '--columns', 'type,status')).to.match(
        /^TYPE +STATUS\ninstance\.create +succeeded\n$/,
      );
      expect(await cli.out('project', 'list', '-o', 'name')).to.equal('default\n');
      expect(await cli.out('user', 'list', '-o', 'name')).to.equal('admin\n');
      expect(await cli.out('admin', 'audit', '--limit', '1', '--columns', 'action')).to.contain(
        'instance.create',
      );
    });
  });

  describe('of mistakes', () => {
    const fails = async (status: number, ...args: string[]) => {
      const result = await cli.run(args);
      expect(result.status, `${args.join(' ')}: ${result.stderr}`).to.equal(status);
      expect(result.stdout).to.equal('');
      return result.stderr;
    };

    it('names the nearest command, option, format, column and filter, and sends nothing', async () => {
      expect(await fails(2, 'instance', 'lst')).to.contain('Did you mean list?');
      expect(await fails(2, 'instence', 'list')).to.contain('Did you mean instance?');
      expect(await fails(2, 'instance', 'list', '--colums', 'name')).to.contain('Did you mean --columns?');
      expect(await fails(2, 'instance', 'list', '-o', 'jsn')).to.contain('Did you mean json?');
      expect(await fails(2, 'instance', 'list', '--columns', 'nme')).to.contain('Did you mean name?');
      expect(await fails(2, 'instance', 'list', '--filter', 'stats=x')).to.contain('Did you mean status?');
      expect(await fails(2, 'instance', 'list', '--filter', 'x')).to.contain('NAME=VALUE');
      expect(await fails(2, 'instance', 'list', '--limit', '0')).to.contain('from 1 to');
      expect(await fails(2, 'instance', 'wait', 'web', '--for', 'runing')).to.contain(
        'Did you mean running?',
      );
      expect(await fails(2, 'instance', 'create', 'x', '--expires', 'soon')).to.contain('7d');
      expect(await fails(2, 'api', 'GETT', '/x')).to.contain('Did you mean GET?');
      expect(await fails(2, 'admin', 'flags', 'creation=offf')).to.contain('Did you mean off?');
      expect(await instances()).to.deep.equal([]);
    });

    it('names the nearest name where one is unknown', async () => {
      await cli.out('instance', 'create', 'orchard');
      expect(await fails(4, 'instance', 'show', 'orchrd')).to.contain('Did you mean orchard?');
      expect(await fails(4, 'instance', 'create', 'x', '--flavor', 'smal')).to.contain('Did you mean small?');
      expect(await fails(4, 'project', 'show', 'defalt')).to.contain('Did you mean default?');
      await cli.out('instance', 'delete', 'orchard', '--yes');
    });

    it('tells what the server refuses: message, field, cause, request, and what to do next', async () => {
      const text = await fails(8, 'instance', 'create', 'Bad_Name');
      expect(text).to.match(/copse: .+\n(.*\n)*? {2}.*\/metadata\/name/);
      expect(text)
        .to.contain('cause: invalid_body (HTTP 400)')
        .and.to.match(/request: [0-9a-f-]{36}/);
      await cli.out('instance', 'create', 'twice');
      expect(await fails(5, 'instance', 'create', 'twice')).to.contain('cause: name_taken (HTTP 409)');
      await cli.out('instance', 'delete', 'twice', '--yes');
    });

    it('has an exit code for a wrong key, for nothing there, and for no server', async () => {
      const wrong = await cli.run(['user', 'show'], { environment: { COPSE_API_KEY: 'wrong-key' } });
      expect(wrong.status).to.equal(3);
      expect(wrong.stderr).to.contain('COPSE_API_KEY');
      expect(await fails(4, 'task', 'show', '01a1fc40-e4c0-7555-8353-2d75db03d2a7')).to.contain('not_found');
      const gone = await cli.run(['user', 'show'], { environment: { COPSE_URL: await closedPort() } });
      expect(gone.status).to.equal(6);
      expect(gone.stderr).to.contain('nothing listens there').and.to.contain('copse serve');
    });
  });

  describe('of its surroundings', () => {
    it('ends quietly when nobody reads its output any more', async () => {
      await Promise.all(['p-a', 'p-b'].map((name) => cli.out('instance', 'create', name)));
      const result = await cli.run(['event', 'follow', '--after', '0', '-o', 'json'], {
        onStdout: (_text, child) => child.stdout?.destroy(),
      });
      expect(result.status).to.equal(141);
      expect(result.stderr).to.equal('');
      await cli.out('instance', 'delete', 'p-a', 'p-b', '--yes');
    });

    it('has a code of its own for a server that goes away in the middle of a list', async () => {
      const breaking = createServer((_request, response) => {
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
        response.write('[{"metadata"', () => response.destroy());
      });
      await new Promise<void>((done) => breaking.listen(0, '127.0.0.1', done));
      const { port } = breaking.address() as AddressInfo;
      const result = await cli.run(['instance', 'list', '--all'], {
        environment: { COPSE_URL: `http://127.0.0.1:${port}` },
      });
      breaking.close();
      expect(result.status).to.equal(6);
      expect(result.stderr).to.contain(`No response from http://127.0.0.1:${port}`);
    });

    it('fits its help on one screen', async () => {
      const lines = (await cli.out('--help')).trimEnd().split('\n');
      expect(lines.length).to.be.at.most(24);
      expect(Math.max(...lines.map((line) => line.length))).to.be.at.most(80);
    });

    it('has a help with an example for every command', async () => {
      const program = new Command('copse').exitOverride();
      let text = '';
      program.configureOutput({ writeOut: (part) => (text += part) });
      addClientCommands(program, '1.2.3');
      const helpOf = async (...words: string[]) => {
        text = '';
        await program.parseAsync([...words, '--help'], { from: 'user' }).catch(() => undefined);
        return text;
      };
      const seen: string[] = [];
      const check = async (command: Command, words: string[]) => {
        const help = await helpOf(...words);
        if (command.commands.length === 0) {
          seen.push(words.join(' '));
          expect(help, words.join(' ')).to.match(/^Examples?:\n {2}(echo|source|copse) /m);
        }
        for (const below of command.commands) await check(below, [...words, below.name()]);
      };
      for (const noun of program.commands) await check(noun, [noun.name()]);
      expect(seen).to.include.members([
        'instance list',
        'task follow',
        'admin revert',
        'project member add',
        'api',
      ]);
    });

    it('prints completion for three shells, with the verbs and options of every noun', async () => {
      for (const shell of ['bash', 'zsh', 'fish'])
        expect(await cli.out('completion', shell))
          .to.contain('instance')
          .and.to.contain('--columns');
      expect((await cli.run(['completion', 'tcsh'])).status).to.equal(2);
    });

    it('tells its version and that of the server', async () => {
      const told = JSON.parse(await cli.out('version', '-o', 'json')) as Record<string, string>;
      expect(told['client'])
        .to.equal(told['server'])
        .and.to.match(/^\d+\.\d+/);
    });
  });
});
