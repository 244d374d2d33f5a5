/** The table of options in docs/store-mongodb.md, as the driver understands them. */
import { expect } from 'chai';
import { clientFor } from '../../../../src/data/store/mongo/connection.js';

describe('the options of a connection to MongoDB', () => {
  const optionsOf = (query: string) => clientFor(`mongodb://me:s3cret@one:1,two:2/copse${query}`).options;

  it('are those of the table when the address says nothing', () => {
    const options = optionsOf('');
    expect(options.writeConcern).to.deep.include({ w: 'majority', wtimeoutMS: 10_000 });
    expect(options.writeConcern.journal).to.be.undefined;
    expect(options.readConcern).to.deep.equal({ level: 'majority' });
    expect(options.readPreference.mode).to.equal('primary');
    expect(options).to.deep.include({
      appName: 'copse',
      retryReads: true,
      retryWrites: true,
      serverSelectionTimeoutMS: 5000,
      connectTimeoutMS: 5000,
      waitQueueTimeoutMS: 5000,
      socketTimeoutMS: 10_000,
      heartbeatFrequencyMS: 2000,
    });
  });

  it('that the guarantees rest on are not those of the address, however it writes them', () => {
    for (const query of [
      '?w=1&readConcernLevel=local&readPreference=secondary&retryReads=false&journal=false',
      '?W=0&READCONCERNLEVEL=available&readpreference=nearest&RetryReads=false&j=false&Journal=false',
      '?readPreference=secondary&readPreferenceTags=dc:ny&readPreferenceTags=&maxStalenessSeconds=120',
      '?%77=1&read%43oncernLevel=linearizable',
    ]) {
      const options = optionsOf(query);
      expect(options.writeConcern, query).to.deep.include({ w: 'majority', wtimeoutMS: 10_000 });
      expect(options.writeConcern.journal, query).to.be.undefined;
      expect(options.readConcern, query).to.deep.equal({ level: 'majority' });
      expect(options.readPreference.mode, query).to.equal('primary');
      expect(options.readPreference.tags, query).to.be.undefined;
      expect(options.retryReads, query).to.equal(true);
    }
  });

  it('are otherwise those of the address', () => {
    const options = optionsOf(
      '?w=1&RETRYWRITES=false&serverSelectionTimeoutMS=1&connecttimeoutms=2&waitQueueTimeoutMS=3' +
        '&socketTimeoutMS=4&wtimeoutMS=5&heartbeatFrequencyMS=600&maxPoolSize=7&appName=mine&tls=true' +
        '&authSource=there&compressors=zlib&replicaSet=rs0',
    );
    expect(options).to.deep.include({
      appName: 'mine',
      retryWrites: false,
      serverSelectionTimeoutMS: 1,
      connectTimeoutMS: 2,
      waitQueueTimeoutMS: 3,
      socketTimeoutMS: 4,
      heartbeatFrequencyMS: 600,
      maxPoolSize: 7,
      tls: true,
      compressors: ['zlib'],
      replicaSet: 'rs0',
    });
    expect(options.credentials).to.deep.include({ username: 'me', password: 's3cret', source: 'there' });
    expect(options.writeConcern).to.deep.include({ w: 'majority', wtimeoutMS: 5 });
  });
});
