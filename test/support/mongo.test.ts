import { expect } from 'chai';
import { databaseAddress } from './mongo.js';

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
