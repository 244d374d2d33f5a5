import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect } from 'chai';
import fc from 'fast-check';
import { healthOf, Instance, type InstanceRecord, presentInstance } from '../../src/model/instance.js';
import { PowerState } from '../../src/model/power.js';
import { presentTask, Task, type TaskRecord } from '../../src/model/task.js';
import { instanceRecord, taskRecord } from '../support/rows.js';

const ajv = new Ajv2020({ allErrors: true });
formats.default(ajv);
const id = '0193a5c0-0000-7000-8000-000000000001';
const powerStates = PowerState.anyOf.map((choice) => choice.const);
const time = fc.constant('2026-01-01T00:00:00.000Z');
const text = fc.string({ maxLength: 20 });
const tag = fc.record({ name: fc.string({ minLength: 1, maxLength: 10 }), value: text });

const provisioning: fc.Arbitrary<InstanceRecord['provisioning']> = fc.record(
  {
    status: fc.constantFrom('pending', 'provisioning', 'provisioned', 'deprovisioning', 'error'),
    reason: fc.constant('Errored'),
    message: text,
  },
  { requiredKeys: ['status'] },
);

const record: fc.Arbitrary<InstanceRecord> = fc
  .record(
    {
      description: text,
      tags: fc.array(tag, { maxLength: 3 }),
      userData: fc.constant('c2VjcmV0'),
      modifiedTime: time,
      modifiedBy: text,
      deletionTime: time,
      provisioning,
      powerState: fc.constantFrom(...powerStates),
      powerMessage: text,
      privateIP: text,
      publicIP: text,
      macAddress: text,
      openTasks: fc.array(fc.uuid(), { maxLength: 2 }),
    },
    { requiredKeys: ['provisioning', 'openTasks'] },
  )
  .map((change) => {
    const { powerState, ...rest } = instanceRecord();
    expect(powerState).to.equal('Running');
    return { ...rest, ...change };
  });

describe('the public form of an instance', () => {
  const valid = ajv.compile(Instance);

  it('always fits its schema, and never shows userData or what is internal', () => {
    fc.assert(
      fc.property(record, (instance) => {
        const shown = JSON.stringify(presentInstance(id, instance));
        expect(valid(JSON.parse(shown)), ajv.errorsText(valid.errors)).to.be.true;
        for (const hidden of ['userData', 'c2VjcmV0', 'openTasks', 'desiredPower', 'powerMessage'])
          expect(shown).not.to.include(`"${hidden}"`);
      }),
    );
  });

  it('names the task that is at work', () => {
    expect(presentInstance(id, instanceRecord({ openTasks: ['a', 'b'] })).status.taskId).to.equal('a');
    expect(presentInstance(id, instanceRecord()).status).not.to.have.property('taskId');
  });

  it('says what is wrong with making it before what is wrong with its power', () => {
    const provisioning = { status: 'error' as const, message: 'No room.' };
    const detail = (change: Partial<InstanceRecord>) =>
      presentInstance(id, instanceRecord(change)).metadata.provisioningStatusDetail;
    expect(detail({ provisioning, powerMessage: 'Panic.' })).to.deep.equal({
      reason: 'Errored',
      message: 'No room.',
    });
    expect(detail({ powerMessage: 'Panic.' })).to.deep.equal({ reason: 'Power', message: 'Panic.' });
    expect(detail({})).to.be.undefined;
  });
});

describe('the health of an instance', () => {
  const cases: [string, Partial<InstanceRecord>, string][] = [
    ['runs', { powerState: 'Running' }, 'healthy'],
    ['was stopped by its owner', { powerState: 'Stopped', desiredPower: 'stopped' }, 'healthy'],
    ['stopped by itself', { powerState: 'Stopped', desiredPower: 'running' }, 'degraded'],
    ['is in error', { powerState: 'Error' }, 'error'],
    ['could not be made', { powerState: 'Running', provisioning: { status: 'error' } }, 'error'],
    ['is being made', { powerState: 'Building' }, 'unknown'],
    ['is on its way down', { powerState: 'Stopping' }, 'unknown'],
  ];
  for (const [what, change, health] of cases) {
    it(`is ${health} when it ${what}`, () => {
      expect(healthOf(instanceRecord(change))).to.equal(health);
    });
  }

  it('is unknown when nothing was ever seen of it', () => {
    const { powerState: _powerState, ...unseen } = instanceRecord();
    expect(healthOf(unseen)).to.equal('unknown');
  });
});

describe('the public form of a task', () => {
  const valid = ajv.compile(Task);
  const attempt = fc.record(
    {
      number: fc.integer({ min: 1 }),
      startTime: time,
      endTime: time,
      outcome: fc.constantFrom('succeeded' as const, 'failed' as const, 'interrupted' as const),
    },
    { requiredKeys: ['number', 'startTime'] },
  );
  const change: fc.Arbitrary<Partial<TaskRecord>> = fc.record(
    {
      queue: fc.constantFrom('ready', 'waiting', 'blocked', 'running', 'done'),
      status: fc.constantFrom('pending', 'running', 'succeeded', 'failed', 'cancelled'),
      runAfter: fc.integer({ min: 0, max: 4e12 }),
      owner: fc.constant('secret-owner'),
      leaseUntil: fc.nat(),
      attempts: fc.array(attempt, { maxLength: 3 }),
      abort: fc.boolean(),
      input: fc.constant({ secret: 'secret-input' }),
    },
    { requiredKeys: [] },
  );

  it('always fits its schema, shows a retry time only while it waits, and nothing internal', () => {
    fc.assert(
      fc.property(change, (part) => {
        const record = taskRecord(id, part);
        const shown = JSON.parse(JSON.stringify(presentTask(id, record))) as Task;
        expect(valid(shown), ajv.errorsText(valid.errors)).to.be.true;
        expect('retryTime' in shown).to.equal(record.queue === 'waiting' && record.runAfter !== undefined);
        expect(JSON.stringify(shown)).not.to.include('secret');
      }),
    );
  });
});
