import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { userDataFault } from '../../src/model/user-data.js';

const fault = (data: string | Uint8Array) => userDataFault(Buffer.from(data as string).toString('base64'));

const multipart = [
  'Content-Type: multipart/mixed; boundary="==B=="',
  'MIME-Version: 1.0',
  '',
  '--==B==',
  'Content-Type: text/cloud-config',
  '',
  '#cloud-config',
  '--==B==--',
  '',
].join('\n');

describe('user data', () => {
  const taken: [string, string | Uint8Array][] = [
    ['nothing', ''],
    ['cloud-config', '#cloud-config\npackages: [vim]\n'],
    ['a cloud-config archive', '#cloud-config-archive\n- type: text/cloud-config\n'],
    ['a script', '#!/bin/sh\necho hello\n'],
    ['a boothook', '#cloud-boothook\necho\n'],
    ['an include', '#include\nhttp://example.com/x\n'],
    ['a part handler', '#part-handler\n'],
    ['a jinja template', '## template: jinja\n#cloud-config\n'],
    ['MIME multipart', multipart],
    ['MIME multipart with other capitals', multipart.replace('Content-Type', 'CONTENT-TYPE')],
    ['gzip', gzipSync('#cloud-config\n')],
    [
      'cloud-config with bytes that are no text',
      Buffer.concat([Buffer.from('#cloud-config\n'), Buffer.from([0, 255, 254])]),
    ],
    ['64 KiB', '#cloud-config\n'.padEnd(65536, '#')],
  ];
  for (const [what, data] of taken) {
    it(`is taken when it is ${what}`, () => {
      expect(fault(data)).to.be.undefined;
    });
  }

  const refused: [string, string | Uint8Array, RegExp][] = [
    ['plain text', 'hello', /not cloud-init input/],
    ['a blank before the first line', ' #cloud-config', /not cloud-init input/],
    ['a byte order mark before the first line', '\ufeff#cloud-config', /not cloud-init input/],
    ['MIME without a boundary', 'Content-Type: text/plain\n\nhello', /not cloud-init input/],
    ['a ZIP file', Buffer.from([0x50, 0x4b, 3, 4]), /not cloud-init input/],
    ['more than 64 KiB', '#cloud-config\n'.padEnd(65537, '#'), /65537 bytes.*65536/],
  ];
  for (const [what, data, reason] of refused) {
    it(`is refused when it is ${what}, with the reason`, () => {
      expect(fault(data)).to.match(reason);
    });
  }

  it('is refused when it is not whole base64', () => {
    for (const text of ['abc', 'a', '=', 'YWJjZA=']) expect(userDataFault(text), text).to.match(/base64/);
  });

  it('says why in a public sentence, or nothing, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reason = fault(bytes);
        if (reason !== undefined) expect(reason).to.match(/\.$/).and.to.have.length.below(300);
      }),
    );
  });
});
