import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
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

/** A message of these parts, each with its headers, a blank line and content. */
const message = (...parts: string[]) =>
  [
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="B"',
    '',
    ...parts.flatMap((part) => ['--B', part]),
    '--B--',
    '',
  ].join('\n');
const scriptPart = 'Content-Type: text/x-shellscript\n\n#!/bin/sh\necho hello';
const base64Part = (content: string | Uint8Array, type = 'text/cloud-config') =>
  `Content-Type: ${type}\nContent-Transfer-Encoding: base64\n\n${Buffer.from(content as string).toString('base64')}`;
const inner = (closing = '--I--') =>
  `Content-Type: multipart/alternative; boundary=I\n\n--I\n${scriptPart}\n${closing}`;

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
    ['gzip of nothing', gzipSync('')],
    ['gzip of MIME multipart', gzipSync(multipart)],
    ['MIME multipart with CRLF', multipart.replaceAll('\n', '\r\n')],
    ['MIME multipart behind an mbox line', `From nobody Thu Jan  1 00:00:00 1970\n${multipart}`],
    ['MIME multipart with a folded header', multipart.replace('; boundary', ';\n\tboundary')],
    [
      'MIME multipart with a preamble and an epilogue',
      message(scriptPart).replace('\n\n', '\n\nHello.\n') + 'Bye.',
    ],
    ['MIME multipart with parts without headers and without content', message('\n#!/bin/sh', '')],
    ['MIME multipart within MIME multipart', message(inner(), scriptPart)],
    [
      'MIME multipart of encoded parts',
      message(base64Part('#cloud-config\na: 1\n'), base64Part(gzipSync('#!/bin/sh'), 'application/gzip')),
    ],
    [
      'MIME multipart of quoted-printable',
      message('Content-Transfer-Encoding: quoted-printable\n\n#!/bin/sh\necho =C3=A9 =\n a'),
    ],
    [
      'MIME multipart of a type for which an image may have a handler',
      message('Content-Type: text/x-own\n\nhello'),
    ],
    ['cloud-config of nothing but comments', '#cloud-config\n# later\n'],
    [
      'cloud-config with an alias, a repeated key and types of YAML 1.1',
      '#cloud-config\na: &a [on, 0o7]\nb: *a\nb: !!set {x}\n<<: {c: 1}\n',
    ],
    [
      'cloud-config whose brackets and quotes go on without indentation',
      '#cloud-config\na: {\nb: c}\nd: [e,\nf\n]\ng: "h\ni"\n',
    ],
    ['cloud-config as JSON', '#cloud-config\n{"a": [1]}'],
    ['a JSON patch', '#cloud-config-jsonp\n[{"op": "add", "path": "/a", "value": 1}]'],
    ['a jinja template that is no YAML yet', '## template: jinja\n#cloud-config\n{% if a %}\n'],
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
    ['MIME multipart without a boundary', multipart.replace('boundary', 'border'), /names no boundary/],
    ['MIME multipart with an empty boundary', multipart.replace('"==B=="', '""'), /names no boundary/],
    [
      'MIME multipart with a bad header line',
      multipart.replace('MIME-V', 'bad line\nMIME-V'),
      /line 2 is neither a header/,
    ],
    [
      'MIME multipart with a bad line before its type',
      `MIME-Version: 1.0\n oops\n= bad\n${multipart}`,
      /line 3 is neither a header/,
    ],
    [
      'MIME multipart without a blank line after its headers',
      multipart.replace('\n\n', '\n'),
      /line 3 is neither a header/,
    ],
    [
      'MIME multipart without its version',
      multipart.replace('MIME-Version: 1.0\n', ''),
      /no MIME-Version header/,
    ],
    ['MIME multipart without parts', multipart.replace('--==B==\n', ''), /no parts/],
    [
      'MIME multipart of headers alone',
      'Content-Type: multipart/mixed; boundary=B\nMIME-Version: 1.0\n',
      /no parts/,
    ],
    [
      'MIME multipart whose parts have another boundary',
      message(scriptPart).replace('"B"', '"A"'),
      /no parts: no line "--A"/,
    ],
    [
      'MIME multipart without its closing line',
      multipart.replace('--==B==--', ''),
      /closing line is missing/,
    ],
    [
      'MIME multipart cut off within its closing line',
      multipart.replace('--==B==--\n', '--==B==-'),
      /closing line is missing/,
    ],
    [
      'MIME multipart with a bad header line in a part',
      message(scriptPart, 'Content-Type text/x-shellscript\n\n#!/bin/sh'),
      /part 2: line 10 /,
    ],
    ['MIME multipart with a part without a blank line', message('#!/bin/sh\necho hello'), /part 1: line 5 /],
    [
      'MIME multipart within one, not closed',
      message(scriptPart, inner('--I')),
      /part 2: its closing line is missing/,
    ],
    [
      'MIME multipart within one, without parts',
      message(inner().replace('=I', '=J')),
      /part 1: it has no parts/,
    ],
    [
      'MIME multipart within one, without a boundary',
      message(inner().replace('; boundary=I', '')),
      /part 1: its Content-Type names/,
    ],
    [
      'MIME multipart within one, with a bad header line',
      message(inner().replace('\n\n', '\nbad\n\n')),
      /part 1: line 6 /,
    ],
    [
      'MIME multipart of something that is not base64',
      message(base64Part('a').replace(/=+/, '')),
      /part 1: its content is not base64/,
    ],
    [
      'MIME multipart of base64 with other letters',
      message(base64Part('a').replace(/=+/, '!!')),
      /part 1: its content is not base64/,
    ],
    [
      'MIME multipart of broken quoted-printable',
      message('Content-Transfer-Encoding: quoted-printable\n\n#!/bin/sh\na=b'),
      /not quoted-printable/,
    ],
    [
      'MIME multipart of an unknown encoding',
      message('Content-Transfer-Encoding: zip\n\n#!/bin/sh'),
      /its content is not zip/,
    ],
    [
      'MIME multipart of gzip that is cut off',
      message(base64Part(gzipSync('#!/bin/sh').subarray(0, 20), 'application/gzip')),
      /Part 1 of userData is gzip that cannot/,
    ],
    [
      'MIME multipart of cloud-config that is not YAML',
      message(scriptPart, 'Content-Type: text/cloud-config\n\na: 1\nb: ['),
      /Part 2 of userData is cloud-config that cloud-init cannot read \(line 13\)/,
    ],
    [
      'MIME multipart of text that turns out to be such',
      message('\n#cloud-config\n- a'),
      /Part 1 .*\(line 7\): it is not a mapping/,
    ],
    [
      'gzip that is cut off',
      gzipSync('#cloud-config\n').subarray(0, 20),
      /is gzip that cannot be decompressed/,
    ],
    [
      'gzip that is damaged',
      Buffer.concat([gzipSync('x').subarray(0, 10), Buffer.from('garbage')]),
      /is gzip that cannot/,
    ],
    ['gzip of plain text', gzipSync('hello'), /not cloud-init input/],
    ['gzip of gzip', gzipSync(gzipSync('#!/bin/sh')), /not cloud-init input/],
    [
      'gzip of MIME multipart without its closing line',
      gzipSync(multipart.replace('--==B==--', '')),
      /closing line/,
    ],
    [
      'gzip that is a bomb',
      gzipSync('#!/bin/sh\n'.padEnd(40_000_000)),
      /decompresses to more than 1048576 bytes/,
    ],
    [
      'MIME multipart of many bombs',
      message(
        ...Array.from({ length: 5 }, () => base64Part(gzipSync(''.padEnd(500_000)), 'application/gzip')),
      ),
      /Part 3 of userData decompresses to more than 1048576/,
    ],
    ['cloud-config that is not YAML', '#cloud-config\na: 1\nb: [1,\n', /\(line [34]\): \S.*\.$/],
    ['cloud-config with a tab for indentation', '#cloud-config\na:\n\tb: 1\n', /\(line 3\): /],
    ['cloud-config that is a list', '#cloud-config\n\n- a\n', /\(line 3\): it is not a mapping\.$/],
    ['cloud-config that is text', '#cloud-config\nhello\n', /\(line 2\): it is not a mapping\.$/],
    ['cloud-config of two documents', '#cloud-config\na: 1\n---\nb: 1\n', /\(line 3\): /],
    [
      'cloud-config with a tag of a program',
      '#cloud-config\na: !!python/object {}\n',
      /\(line 2\): Unresolved tag/,
    ],
    [
      'cloud-config with an alias without an anchor',
      '#cloud-config\na: 1\nb: *a\n',
      /\(line 3\): there is no anchor/,
    ],
    [
      'cloud-config that is nested too deeply',
      `#cloud-config\na: ${'['.repeat(15_000)}`,
      /nested too deeply/,
    ],
    [
      'a cloud-config archive that is a mapping',
      '#cloud-config-archive\na: 1\n',
      /\(line 2\): it is not a list/,
    ],
    [
      'gzip of MIME multipart with very many parts',
      gzipSync(message(...Array<string>(100_000).fill('\n'))),
      /more than 1000 parts/,
    ],
    ['a ZIP file', Buffer.from([0x50, 0x4b, 3, 4]), /not cloud-init input/],
    ['more than 64 KiB', '#cloud-config\n'.padEnd(65537, '#'), /65537 bytes.*65536/],
  ];
  for (const [what, data, reason] of refused) {
    it(`is refused when it is ${what}, with the reason`, () => {
      expect(fault(data)).to.match(reason);
    });
  }

  it('may have aliases that would make it huge: nothing is expanded', () => {
    const bomb = ['#cloud-config', 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let level = 1; level < 40; level += 1)
      bomb.push(
        `a${level}: &a${level} [${Array(10)
          .fill(`*a${level - 1}`)
          .join(', ')}]`,
      );
    expect(fault(bomb.join('\n'))).to.be.undefined;
  });

  it('ends no process, however deeply it is nested and in whatever order it comes', async () => {
    const at = new URL('../../src/model/user-data.js', import.meta.url).href;
    // Twice each: V8 compiles a regular expression anew when it is used again, and must not do so at the end of the stack.
    const program = `
      import { userDataFault } from ${JSON.stringify(at)};
      const nested = (level) => '#cloud-config\\n' + level.repeat(16364 / level.length);
      for (const level of ['[', '{', '[', '{', '- ', '? ', 'a: ', '&a ', '!b ', '- {', '[?', '{a: ', '[\\n', '- \\n', '['])
        userDataFault(Buffer.from(nested(level)).toString('base64'));
      console.log('alive');`;
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
    expect((await run).stdout).to.equal('alive\n');
  }).timeout(60_000);

  it('is not judged where it may be nested deeply, and is read up to many brackets and columns', () => {
    const script = `  ${'echo "\\e[31m"; '.repeat(310)}`;
    expect(fault(`#cloud-config\na: |\n${script}\nb: [\n`), 'a script').to.be.undefined;
    expect(fault(`#cloud-config\na: |\n  x\nb: [\n`)).to.match(/line 5/);
    const levels = Array.from({ length: 80 }, (_, level) => `${' '.repeat(level)}a:`).join('\n');
    expect(fault(`#cloud-config\n${levels} [\n`), 'deep').to.match(/Flow sequence/);
    const commands = '- [ls, -l]\n'.repeat(250);
    expect(fault(`#cloud-config\nruncmd:\n${commands}- [\n`), 'long').to.match(/Flow sequence/);
  });

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

  it('says so too of what is nearly MIME multipart or cloud-config', () => {
    const whole = message(scriptPart, inner(), base64Part('#cloud-config\na: 1\n'));
    const near = (text: string) =>
      fc
        .tuple(fc.nat(text.length), fc.nat(40), fc.string({ maxLength: 20, unit: 'binary' }))
        .map(([at, gone, put]) => text.slice(0, at) + put + text.slice(at + gone));
    const seeds = [whole, multipart, '#cloud-config\na: &x [1, {b: 2}]\nc: *x\nd: |\n  text\n'];
    fc.assert(
      fc.property(fc.oneof(...seeds.map(near)), (text) => {
        const reason = fault(text);
        if (reason !== undefined) expect(reason).to.match(/\.$/).and.to.have.length.below(300);
      }),
      { numRuns: 500 },
    );
  });
});
