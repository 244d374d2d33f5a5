import { expect } from 'chai';
import { MongoClient } from 'mongodb';
import { eventually, failureOf } from './eventually.js';
import { databaseAddress, MongoServer, ownServerMissing } from './mongo.js';

describe('the database behind the server of the tests', function () {
  this.timeout(120_000);
  const server = new MongoServer();
  let client: MongoClient;
  before(async function () {
    const missing = ownServerMissing() ?? (server.hasDatabaseBehind ? undefined : 'the server has none');
    if (missing !== undefined) {
      process.stdout.write(`!!! SKIPPED, the database behind the server: ${missing}\n`);
      this.skip();
    }
    await server.start();
    client = new MongoClient(server.address, { directConnection: true, socketTimeoutMS: 500 });
    await client.db('x').collection('things').insertOne({ name: 'kept' });
  });
  after(async () => {
    await client.close();
    await server.clear();
  });
  const count = () => client.db('x').collection('things').countDocuments();
  const answers = () => count().then(Boolean, () => false);

  it('can be stopped while the server stays, and go on', async () => {
    server.signalBehind('SIGSTOP');
    expect((await failureOf(count)).name).to.match(/^Mongo/);
    server.signalBehind('SIGCONT');
    await eventually(answers, { within: 30_000 });
  });

  it('can be killed while the server stays, and started again with all that was in it', async () => {
    server.signalBehind('SIGKILL');
    await eventually(async () => !(await answers()), { within: 30_000 });
    await server.startBehind();
    expect(await count()).to.equal(1);
  });

  it('ends with the server also while it stands still', async () => {
    server.signalBehind('SIGSTOP');
    await server.stop();
    await server.start();
    expect(await count()).to.equal(1);
  });
});

describe('the address of a test database on the server of MONGODB_URL', () => {
  for (const [given, made] of [
    ['mongodb://h', 'mongodb://h/db'],
    ['mongodb://h/', 'mongodb://h/db'],
    ['mongodb://h:1/other', 'mongodb://h:1/db'],
    ['mongodb://a:1,b:2/', 'mongodb://a:1,b:2/db'],
    ['mongodb://a:1,b:2/?replicaSet=rs&tls=true', 'mongodb://a:1,b:2/db?replicaSet=rs&tls=true'],
    ['mongodb://a:1,b:2?replicaSet=rs', 'mongodb://a:1,b:2/db?replicaSet=rs'],
    ['mongodb://root:pw@h/', 'mongodb://root:pw@h/db?authSource=admin'],
    ['mongodb://root:p%40w@a:1,b:2/users?w=1', 'mongodb://root:p%40w@a:1,b:2/db?w=1&authSource=users'],
    ['mongodb://root:pw@h/users?authsource=all', 'mongodb://root:pw@h/db?authsource=all'],
    ['mongodb://CN=x@h/?authMechanism=MONGODB-X509', 'mongodb://CN=x@h/db?authMechanism=MONGODB-X509'],
    ['mongodb+srv://root:pw@site.example/', 'mongodb+srv://root:pw@site.example/db?authSource=admin'],
    ['mongodb://[::1]:27017/', 'mongodb://[::1]:27017/db'],
  ] as const) {
    it(`of ${given} is ${made}`, () => {
      expect(databaseAddress(given, 'db')).to.equal(made);
    });
  }

  it('is refused without showing it when it is none', () => {
    expect(() => databaseAddress('https://root:secret@h/', 'db')).to.throw(
      /^MONGODB_URL is no address of MongoDB$/,
    );
  });
});
